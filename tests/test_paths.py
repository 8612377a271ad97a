"""Paths with a `~` that no shell expanded: in `--output=~/x`, in quotes, in a container's environment."""

import subprocess
from pathlib import Path

import pytest

from tests.terminal import TUIBENCH
from tests.ui.scripted import session
from tuibench import paths
from tuibench.cli.arguments.values import given_path
from tuibench.store.catalogue import find_session
from tuibench.store.writer import SessionWriter

NOBODY = "~nobody-of-this-name/model"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("variable", "path"),
    [
        ("TUIBENCH_CONFIG", paths.config_file),
        ("TUIBENCH_THEMES", paths.user_themes),
        ("TUIBENCH_PROMPTS", paths.user_prompts),
        ("TUIBENCH_HISTORY", paths.prompt_history),
        ("TUIBENCH_SESSIONS", paths.sessions_dir),
        ("TUIBENCH_CACHE", paths.cache_dir),
        ("TUIBENCH_LOCK", paths.measurement_lock),
    ],
)
def test_a_variable_may_begin_with_the_home_folder(home, variable, path, monkeypatch):
    monkeypatch.setenv(variable, "~/x")
    assert path() == home / "x"


def test_a_path_argument_may_begin_with_the_home_folder(home):
    assert given_path("~/prompt.txt") == home / "prompt.txt"
    assert given_path("a~b/~") == Path("a~b/~")


def test_a_session_is_found_in_the_home_folder(home):
    stored = session()
    writer = SessionWriter(home / "a.toml", stored.header)
    writer.append(stored.trials[0])
    assert find_session("~/a.toml", ()) == home / "a.toml"


@pytest.mark.parametrize("suffix", ["", ".gguf"])
def test_a_model_in_the_home_of_nobody_is_refused_in_a_line(suffix, home, monkeypatch, capfd):
    monkeypatch.setenv("TUIBENCH_CACHE", str(home / "cache"))
    refused = subprocess.run([*TUIBENCH, "run", f"--model={NOBODY}{suffix}"], check=False)
    assert refused.returncode == 2
    assert f"{NOBODY}{suffix}" in capfd.readouterr().err.splitlines()[-1]
