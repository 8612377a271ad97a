"""The dashboard is stopped without being asked, and comes back."""

import shlex
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.tmux import Tmux
from tuibench import paths
from tuibench.core import format as fmt
from tuibench.core.results.metrics import DECODE, summarise
from tuibench.store.session import load

ROOT = Path(__file__).parents[2]


@pytest.fixture
def terminal(tmp_path):
    one = Tmux(tmp_path / "tmux", 80, 24)
    yield one
    one.close()


def test_the_whole_screen_is_painted_and_keys_are_answered_after_a_stop(terminal, tmp_path):
    folders = [f"TUIBENCH_{name}={tmp_path / name.lower()}" for name in ("SESSIONS", "CACHE", "CONFIG")]
    recording = paths.sample_sessions() / "sample-first-look.toml"
    (tmp_path / "sessions").mkdir()
    shutil.copy(recording, tmp_path / "sessions" / "mine.toml")  # who has a session of their own sees no recording
    program = ["env", *folders, "LC_ALL=C.UTF-8", sys.executable, "-m", "tuibench"]
    terminal.type(f"cd {shlex.quote(str(ROOT))}; clear; {shlex.join(program)}")
    terminal.press("Enter")
    terminal.wait_for("Palette")
    terminal.press("F3")
    terminal.wait_for("First look")
    session = load(recording)
    shipped = [load(path).header.created for path in paths.sample_sessions().glob("*.toml")]
    for _ in range(sum(created > session.header.created for created in shipped)):  # the newest are first
        terminal.press("j")
    slowest = [trial for trial in session.trials if trial.method == "baseline" and not trial.warmup]
    before = terminal.wait_for(f"{fmt.rate(summarise(DECODE, slowest).median)} █")  # said last
    shell = psutil.Process(int(terminal.run("display-message", "-p", "#{pane_pid}")))
    (dashboard,) = shell.children()
    n_threads = dashboard.num_threads()

    dashboard.send_signal(signal.SIGSTOP)
    terminal.wait_for("Stopped")
    terminal.type("clear; fg")
    terminal.press("C-j")  # the shell finds the terminal in raw mode, in which enter ends no line
    terminal.wait_for(before)
    assert dashboard.num_threads() <= n_threads

    terminal.press("F2")
    terminal.wait_for("Prompt")
    terminal.press("C-q")
    terminal.wait_for("ready>")
    assert terminal.modes() == "0 000 1"
