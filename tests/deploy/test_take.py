"""`tuibench take`: what a folder answers where tuibench is not, what its README says, what is refused."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.deploy.alone import N_NEW, PROMPT, answered, run_alone, transformers_answer
from tests.disks import small_disk
from tests.engines.ort.generation import opened
from tests.multimodal import save_multimodal
from tests.scripted import header, record
from tests.scripted_methods import provide
from tests.tiny_onnx_models import MAKERS, _save_llama_like
from tuibench.cli import BAD_USAGE, INTERRUPTED, OK, SOME_FAILED, main
from tuibench.deploy.in_child import remove_abandoned
from tuibench.deploy.readme import Checked, _speed
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.store.writer import SessionWriter

EXACT = {"kv-cache": False, "kv-cache-lookup": True, "onnx": False, "onnx-fused": True, "fused-fp32": False}
"""Whether its prompt is asked raw: what makes a prompt of it is one script for all."""
QUANTISED = (
    "kv-cache-bf16", "int8-dynamic", "int8-static", "int4-onnx", "fused-int8", "fused-int8-lookup", "fused-int4",
)  # fmt: skip
FOR_ONNX = {"jinja2", "numpy", "onnxruntime", "tokenizers"}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, warm_cache):  # noqa: ARG001 - graphs are made once for all tests
    """An empty folder to work in, and no sessions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUIBENCH_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # else none would be left in a folder
    return tmp_path


def take(method, model, *options):
    return main(["take", method, "--model", str(model), *map(str, options)])


def taken(method, model, folder):
    assert take(method, model, "-o", folder) == OK
    return folder


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "sessions")


@pytest.mark.parametrize(("method", "raw"), EXACT.items())
def test_a_folder_of_an_exact_method_answers_as_transformers_does(method, raw, tiny_llama, place):
    folder = taken(method, tiny_llama.directory, place / "out")
    assert answered(folder, *["--raw"] * raw) == transformers_answer(tiny_llama.directory, raw=raw)
    if method == "kv-cache":
        of_user = folder / "model.safetensors"
        assert of_user.read_bytes() == (tiny_llama.directory / "model.safetensors").read_bytes()
        assert not of_user.samefile(tiny_llama.directory / "model.safetensors")


@pytest.mark.parametrize("method", ["kv-cache", "onnx-fused"])
def test_a_model_without_rotation_and_without_a_chat_template_can_be_taken_too(method, tiny_gpt2, place):
    folder = taken(method, tiny_gpt2.directory, place / "out")
    assert answered(folder) == transformers_answer(tiny_gpt2.directory, raw=True)


def test_a_graph_with_two_rotations_and_a_cap_on_logits_can_be_taken(place):
    model_dir = MAKERS["gemma3-two-rotations"](place / "model")
    folder = taken("onnx-fused", model_dir, place / "out")
    assert answered(folder) == transformers_answer(model_dir, raw=False)


@pytest.mark.parametrize(
    ("method", "kind"), [*((method, "tiny_llama") for method in QUANTISED), ("int8-torch", "tiny_gpt2")]
)
def test_a_folder_of_a_quantised_method_answers_as_its_engine_does(method, kind, request, place):
    model_dir = request.getfixturevalue(kind).directory
    folder = taken(method, model_dir, place / "out")
    engine, _, made = opened(method, model_dir)
    assert not made
    tokenizer = PromptTokenizer(model_dir)
    prompt_ids = tokenizer.encode(PROMPT, raw=True)
    expected, logits = [], engine.prefill(prompt_ids, len(prompt_ids) + N_NEW)
    while len(expected) < N_NEW and int(logits.argmax()) not in tokenizer.eos_ids:
        expected.append(int(logits.argmax()))
        logits = engine.decode(expected[-1])
    assert answered(folder, "--raw") == (prompt_ids, expected, tokenizer.decode(expected))


def test_the_part_that_writes_can_be_taken_of_a_model_that_also_sees(place):
    folder = taken("kv-cache", save_multimodal("llava", place / "model"), place / "out")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"


def test_an_answer_ends_with_eos_and_is_streamed_as_a_whole(tiny_llama, place):
    """The third token of the answer is made the model's end."""
    model_dir = shutil.copytree(tiny_llama.directory, place / "model")
    _, new_ids, _ = transformers_answer(model_dir, raw=True)
    end = next(token_id for index, token_id in enumerate(new_ids) if index > 2 and token_id not in new_ids[:index])
    for name in ("config.json", "generation_config.json"):
        text = (model_dir / name).read_text()
        (model_dir / name).write_text(re.sub(r'"eos_token_id": 2', f'"eos_token_id": {end}', text))
    folder = taken("onnx-fused", model_dir, place / "out")
    assert answered(folder, "--raw")[1] == new_ids[: new_ids.index(end)]


def test_templates_that_need_more_than_plain_jinja_are_filled_in_as_transformers_does(tiny_llama, place):
    model_dir = shutil.copytree(tiny_llama.directory, place / "model")
    (model_dir / "chat_template.jinja").write_text(
        "{% for message in messages %}{% if loop.index > 3 %}{% break %}{% endif %}{{ bos_token }}"
        "{%- generation -%} {{ message | tojson }} {%- endgeneration -%}"
        "{{ strftime_now('%d %B %Y') }}{% endfor %}{% if tools is none and add_generation_prompt %}»{% endif %}\n"
    )
    folder = taken("onnx-fused", model_dir, place / "out")
    assert answered(folder, prompt="<b>'ü'</b>") == transformers_answer(model_dir, raw=False, prompt="<b>'ü'</b>")


def test_files_of_the_cache_are_linked_and_a_prompt_beyond_the_window_is_refused(tiny_llama, place, warm_cache):
    (place / "out").mkdir()  # one that is empty is filled
    folder = taken("onnx-fused", tiny_llama.directory, place / "out")
    assert leftovers(place) == ["out"]
    made = warm_cache.glob("artifacts/onnx-fused-*/weights.bin")
    assert any((folder / "weights.bin").samefile(path) for path in made)
    done = run_alone(folder, prompt="word " * 300)
    assert done.returncode == 1
    assert re.fullmatch(rb"the prompt has \d+ tokens: .* room in the model's window\n", done.stderr)


def check_requirements(folder):
    """The scripts are short, and need no more than is pinned."""
    sources = {path.name: path.read_text() for path in folder.glob("*.py")}
    assert sorted(sources) == ["generate.py", "model.py"]
    assert all(text.count("\n") <= 80 for text in sources.values())
    imported = {
        name for text in sources.values() for name in re.findall(r"^ *(?:import|from) (\w+)", text, re.MULTILINE)
    }
    assert imported - sys.stdlib_module_names - {"model"} == FOR_ONNX
    pins = (folder / "requirements.txt").read_text().splitlines()
    assert pins == [f"{library}=={version(library)}" for library in sorted(FOR_ONNX)]


def session_of(model, place, *, digest=None, calibration=None, step_ns=20_000_000, day=2):
    scripted, methods = header(), ("kv-cache", "int8-dynamic")
    own = msgspec.structs.replace(scripted.model, name=model.name, digest=digest or model.digest)
    settings = msgspec.structs.replace(
        scripted.settings, methods=methods, order=methods, n_threads=1, calibration_sha256=calibration
    )
    path = place / "sessions" / f"2026010{day}.toml"
    changes = {"model": own, "settings": settings, "created": scripted.created.replace(day=day)}
    writer = SessionWriter(path, msgspec.structs.replace(scripted, **changes))
    writer.append(record("kv-cache", step_ns=(30_000_000,) * 3))
    writer.append(record("int8-dynamic", step_ns=(step_ns,) * 3))
    return path


def test_the_readme_has_the_measured_row_its_own_speed_the_versions_and_the_sums_of_all_files(tiny_llama, place):
    row_tps = 2.0  # a model so small is faster on any machine
    session_of(tiny_llama, place, step_ns=round(1e9 / row_tps))
    session_of(tiny_llama, place, digest="11" * 32, step_ns=1_000_000, day=3)
    session_of(tiny_llama, place, calibration="22" * 32, step_ns=2_000_000, day=4)
    folder = taken("int8-dynamic", tiny_llama.directory, place / "out")
    text = (folder / "README.md").read_text()
    assert text.startswith("# tiny-llama, int8-dynamic\n")
    assert re.search(r"^\| decode \| 2\.00 tok/s", text, re.MULTILINE)
    assert re.search(r"^\| × kv-cache \| 0\.06×", text, re.MULTILINE)
    assert re.search(r"It decoded [\d.]+ tok/s, the median of three runs in a fresh process: \+\d+ % from", text)
    assert "the row's 2.00 tok/s, which is not within 5 %" in text
    assert "| threads | 1 |" in text
    assert f"onnxruntime {version('onnxruntime')}" in text
    assert "Of the model: unknown" in text
    sums = dict(reversed(line.split("  ")) for line in re.findall(r"^[0-9a-f]{64}  .+$", text, re.MULTILINE))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    del files["README.md"]
    assert sums == files
    check_requirements(folder)


@pytest.mark.parametrize(
    ("method", "changes", "words"),
    [
        ("int8-dynamic", {"digest": "11" * 32}, "it measured other weights"),
        ("int8-dynamic", {"calibration": "22" * 32}, "int8-dynamic was calibrated otherwise"),
        ("onnx-fused", {}, "it has no measured trial of onnx-fused"),
    ],
)
def test_a_session_that_says_nothing_about_the_folder_is_refused(method, changes, words, tiny_llama, place, capsys):
    path = session_of(tiny_llama, place, **changes)
    assert take(method, tiny_llama.directory, "-o", place / "out", "--session", path) == BAD_USAGE
    assert words in capsys.readouterr().err
    assert not (place / "out").exists()


def test_the_licence_of_a_model_comes_along(tiny_llama, place):
    model_dir = shutil.copytree(tiny_llama.directory, place / "model")
    (model_dir / "LICENSE.txt").write_text("You may.")
    (model_dir / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\nlicense: none\n")
    folder = taken("onnx-fused", model_dir, place / "out")
    assert "Of the model: apache-2.0, see LICENSE.txt." in (folder / "README.md").read_text()
    assert (folder / "LICENSE.txt").read_text() == "You may."


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("kv-cach", "unknown method 'kv-cach'"),
        ("kv-cache,onnx", "one method at a time"),
    ],
)
def test_what_cannot_be_taken_is_one_line(method, words, tiny_llama, place, capsys):
    assert take(method, tiny_llama.directory, "-o", place / "out") == BAD_USAGE
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert words in said.err
    assert leftovers(place) == []


def test_a_method_of_somebody_else_is_one_line(tiny_llama, place):
    installed = provide(place / "installed", sound="scripted_engine:Sound")
    command = [sys.executable, "-m", "tuibench", "take", "sound", "--model", str(tiny_llama.directory)]
    done = subprocess.run(command, env={**os.environ, **installed}, capture_output=True, text=True, check=False)
    assert done.returncode == BAD_USAGE
    assert "tuibench does not know how to take sound" in done.stderr


def test_a_folder_that_holds_something_is_left_alone(tiny_llama, place, capsys):
    (place / "out").mkdir()
    (place / "out" / "mine.txt").write_text("mine")
    assert take("onnx-fused", tiny_llama.directory, "-o", place / "out") == BAD_USAGE
    assert "there is something already" in capsys.readouterr().err
    assert leftovers(place) == ["out"]
    assert leftovers(place / "out") == ["mine.txt"]


def test_a_folder_that_gives_other_tokens_is_not_handed_over(tiny_llama, place, capsys):
    """Its chat template says something else each time."""
    model_dir = shutil.copytree(tiny_llama.directory, place / "model")
    (model_dir / "chat_template.jinja").write_text("{{ range(99999) | random }}{{ messages[0].content }}")
    assert take("onnx-fused", model_dir, "-o", place / "out") == SOME_FAILED
    assert "it gives other tokens of the prompt" in capsys.readouterr().err
    assert leftovers(place) == ["model"]


def test_a_model_that_the_method_cannot_run_leaves_nothing(tiny_llama, place, capsys):
    model_dir = shutil.copytree(tiny_llama.directory, place / "model")
    config = (model_dir / "config.json").read_text()
    (model_dir / "config.json").write_text(config.replace('"model_type": "llama"', '"model_type": "olmo"'))
    assert take("onnx-fused", model_dir, "-o", place / "out") == SOME_FAILED
    assert "no ONNX graph for the architecture 'olmo'" in capsys.readouterr().err
    assert leftovers(place) == ["model"]


def test_a_cache_that_needs_more_than_a_call_is_refused_and_no_cache_is_not(place, capsys):
    """Frequencies that grow with the length: earlier keys are computed anew."""
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    model_dir = _save_llama_like(place / "model", "llama", rope_parameters=rope)
    assert take("kv-cache", model_dir, "-o", place / "out") == SOME_FAILED
    assert "needs more than a call of transformers" in capsys.readouterr().err
    folder = taken("baseline", model_dir, place / "out")
    assert answered(folder) == transformers_answer(model_dir, raw=False)


def test_a_graph_whose_text_would_have_to_be_read_again_is_refused(place, capsys):
    model_dir = MAKERS["phi3-longrope"](place / "model")
    assert take("onnx-fused", model_dir, "-o", place / "out") == SOME_FAILED
    assert "rotates all of its keys anew" in capsys.readouterr().err
    assert leftovers(place) == ["model"]


def test_a_full_disk_leaves_nothing_half_made(tiny_llama, place, capsys):
    with small_disk("tmpfs", place / "disk") as disk:
        assert take("onnx-fused", tiny_llama.directory, "-o", disk.folder / "out") == SOME_FAILED
        assert "no space left" in capsys.readouterr().err
        assert leftovers(disk.folder) == []


@pytest.mark.parametrize(
    ("seen", "row", "words"),
    [
        (104.0, 100.0, "within 5 % of the row's 100 tok/s."),
        (96.0, 100.0, "within 5 % of the row's 100 tok/s."),
        (90.0, 100.0, "−10 % from the row's 100 tok/s, which is not within 5 %"),
        (90.0, None, "there is no row to compare that with"),
        (None, 100.0, "Its speed was not seen"),
    ],
)
def test_a_speed_is_the_rows_within_five_per_cent(seen, row, words):
    assert words in _speed(Checked((), seen), row)


def test_what_a_killed_one_left_is_removed_by_the_next_and_what_is_being_filled_is_not(place):
    """Whoever holds the folder's lock is at work: here a process that is killed, and one that is not yet."""
    hold = (
        "import sys; from pathlib import Path; from tuibench.deploy.in_child import _staged\n"
        "with _staged(Path(sys.argv[1])) as staging:\n"
        "    (staging / 'weights.bin').write_bytes(b'x'); print(staging, flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    holders = [
        subprocess.Popen([sys.executable, "-c", hold, str(place / name / "out")], **pipes) for name in ("one", "two")
    ]
    staged = [Path(holder.stdout.readline().strip()) for holder in holders]
    holders[0].kill()
    holders[0].wait()
    assert all((folder / "weights.bin").exists() for folder in staged)
    remove_abandoned()
    assert [folder.exists() for folder in staged] == [False, True]
    holders[1].communicate("")
    assert not staged[1].exists()
    assert not any((Path(os.environ["TUIBENCH_CACHE"]) / "taking").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_one_leaves_neither_folder_nor_process(number, tiny_llama, place):
    command = [
        sys.executable,
        "-m",
        "tuibench",
        "take",
        "onnx-fused",
        "--model",
        str(tiny_llama.directory),
        "-o",
        "out",
    ]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in run.stderr:
        if line.startswith("running it by itself"):
            break
    children = psutil.Process(run.pid).children(recursive=True)
    assert children
    run.send_signal(number)
    _, said = run.communicate(timeout=300)
    assert run.returncode == INTERRUPTED
    assert said.endswith("interrupted; no folder was made\n")
    assert not psutil.wait_procs(children, timeout=120)[1]
    assert leftovers(place) == []
