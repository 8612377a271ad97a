from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.fake_pull import FolderSource
from tuibench.cli import main
from tuibench.cli.arguments import UsageError
from tuibench.cli.models import ensure_model
from tuibench.models.artifacts import Recipe, cached_artifacts, make_artifact
from tuibench.models.origin.pull import pull_from

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")


@pytest.fixture
def pulled(tiny_llama):
    return pull_from("fake", [FolderSource(tiny_llama.directory)], lambda _: None)


def run(*words):
    return main(["models", *words])


@pytest.mark.usefixtures("pulled")
@pytest.mark.parametrize("words", [[], ["list"]])
def test_list_prints_one_line_a_model(capsys, words):
    assert run(*words) == 0
    name, size, source = capsys.readouterr().out.splitlines()[-1].split("\t")
    assert (name, source) == ("fake", "owner/fake")
    assert size.endswith("KiB")


def test_empty_list_says_how_to_get_a_model(capsys):
    assert run("list") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "`tuibench models pull` fetches SmolLM2-135M-Instruct" in captured.err


def test_rm_says_what_it_freed(pulled, capsys):
    assert run("rm", "fake") == 0
    assert "removed fake, " in capsys.readouterr().err
    assert not pulled.directory.exists()


@pytest.mark.usefixtures("pulled")
def test_rm_of_unknown_name_lists_the_known_ones(capsys):
    assert run("rm", "fale") == 2
    assert "no model fale in the cache; known: fake" in capsys.readouterr().err


@pytest.mark.usefixtures("pulled")
def test_rm_without_a_name_lists_the_known_ones(capsys):
    assert run("rm") == 2
    assert "In the cache: fake" in capsys.readouterr().err


def made(model_name, method="int8-static", content=b"weights" * 300):
    recipe = Recipe(method=method, model_digest="d" * 64, options={"model": model_name}, versions={})
    return make_artifact(recipe, model_name, lambda folder: (folder / "weights.bin").write_bytes(content))


@pytest.mark.usefixtures("pulled")
def test_list_shows_what_methods_made_and_its_size(capsys):
    made("fake")
    made("other", "onnx")
    assert run("list") == 0
    captured = capsys.readouterr()
    rows = [line.split("\t") for line in captured.out.splitlines()]
    assert [(row[0], row[2]) for row in rows[1:]] == [("fake", "made for int8-static"), ("other", "made for onnx")]
    assert all(row[1].endswith("KiB") for row in rows[1:])
    assert "2 artifacts, " in captured.err
    assert "`tuibench models rm --artifacts` clears them" in captured.err


def test_rm_of_a_model_takes_what_was_made_from_it_along(pulled, capsys):
    own, foreign = made(pulled.directory.name), made("other")
    assert run("rm", "fake") == 0
    assert (own.directory.exists(), foreign.directory.exists()) == (False, True)
    freed = int(re.search(r"\(([\d,]+) bytes\)", capsys.readouterr().err)[1].replace(",", ""))
    assert freed > own.disk_bytes


@pytest.mark.parametrize(("words", "left"), [(["fake"], ["other"]), ([], [])])
def test_rm_artifacts_clears_one_model_or_all_and_keeps_the_models(words, left, pulled, capsys):
    made("fake")
    made("other")
    assert run("rm", "--artifacts", *words) == 0
    assert [artifact.model_name for artifact in cached_artifacts()] == left
    assert pulled.directory.exists()
    assert "freed" in capsys.readouterr().err


def test_rm_artifacts_of_an_unknown_model_lists_the_known_ones(capsys):
    made("other")
    assert run("rm", "fale", "--artifacts") == 2
    assert "nothing was made from a model fale; known: other" in capsys.readouterr().err


def test_ensured_model_is_the_cached_one(pulled):
    assert ensure_model("fake") == pulled


def test_ensured_model_that_cannot_be_had_is_a_usage_error():
    with pytest.raises(UsageError, match="nobody/nothing is not on this disk"):
        ensure_model("nobody/nothing")


@pytest.mark.usefixtures("pulled")
def test_pull_of_a_cached_model_prints_its_name(capfd):
    assert run("pull", "fake") == 0
    assert capfd.readouterr().out.splitlines()[-1] == "fake"


def test_failed_pull_is_one_line_on_stderr(capfd):
    assert run("pull", "nobody/nothing") == 1
    captured = capfd.readouterr()
    assert "asked" not in captured.out
    assert captured.err.splitlines()[-1].startswith("nobody/nothing is not on this disk")


def test_escape_sequences_in_names_do_not_reach_the_terminal(capfd):
    assert run("rm", "\x1b]0;owned\x07") == 2
    assert run("pull", "\x1b[2J") == 1
    assert "\x1b" not in capfd.readouterr().err


COMMAND = [sys.executable, "-c", "import sys; from tuibench.cli import main; sys.exit(main(sys.argv[1:]))", "models"]


@pytest.mark.usefixtures("pulled")
def test_pull_on_a_terminal_shows_a_bar():
    parent, child = pty.openpty()
    done = subprocess.run([*COMMAND, "pull", "fake"], stderr=child, stdout=subprocess.PIPE, text=True, check=True)
    os.close(child)
    assert done.stdout == "fake\n"
    assert b"\x1b[" in os.read(parent, 1 << 16)
    os.close(parent)


def test_interrupted_pull_exits_with_130(tiny_llama):
    script = str(ROOT / "tests/models/fake_pull.py")
    blocker = subprocess.Popen(
        [sys.executable, script, "fake", str(tiny_llama.directory), "half"], stdout=subprocess.PIPE, text=True
    )
    assert [blocker.stdout.readline().strip() for _ in range(2)] == ["asked", "half"]
    child = subprocess.Popen([*COMMAND, "pull", "fake"], stderr=subprocess.PIPE, text=True)
    assert "waiting" in child.stderr.readline()
    child.send_signal(signal.SIGINT)
    assert "interrupted" in child.communicate(timeout=120)[1]
    assert child.returncode == 130
    blocker.kill()
    blocker.communicate()
