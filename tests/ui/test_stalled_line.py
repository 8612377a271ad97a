"""The line to the terminal stands still in the middle of a run, and comes back."""

import os
import re
import sys
import threading

import pexpect
import psutil
import pytest

from tests.terminal import F5, F8
from tuibench.store.session import load

WIDTH, HEIGHT = 120, 40
TOKENS_PER_S, TRIAL_S, N_TRIALS = 200, 2, 4
QUESTION, ANSWER = b"\x1b[6n", b"\x1b[1;1R"
HUNG_S = 240
MOST_PILED_UP = 100_000
"""Characters that may come at once afterwards: what the queue and the buffers hold, and the screen as a whole."""


class Line:
    """A terminal that reads only while the line is there."""

    def __init__(self, command, env, *, answers):
        self.child = pexpect.spawn(command[0], command[1:], dimensions=(HEIGHT, WIDTH), env=env)
        self.child.delaybeforesend = None
        self.flowing = threading.Event()
        self.flowing.set()
        self.seen = b""
        self._answers = answers
        self._read_more = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            self.flowing.wait()
            try:
                chunk = os.read(self.child.child_fd, 4096)
                if self._answers:
                    os.write(self.child.child_fd, ANSWER * chunk.count(QUESTION))
            except OSError:  # closed
                return
            with self._read_more:
                self.seen += chunk
                self._read_more.notify_all()

    def send(self, keys):
        os.write(self.child.child_fd, keys.encode())

    def wait_for(self, text, since=0):
        with self._read_more:
            came = self._read_more.wait_for(lambda: text.encode() in self.seen[since:], HUNG_S)
        assert came, f"{text!r} did not appear"

    def wait_for_row(self, pattern):
        """Wait until a row of the screen is as it should be."""
        with self._read_more:
            came = self._read_more.wait_for(lambda: any(re.search(pattern, row) for row in self.rows), HUNG_S)
        assert came, f"{pattern} did not appear on\n" + "\n".join(self.rows)

    @property
    def rows(self):
        """What a person sees."""
        cells, x, y = {}, 0, 0
        text = self.seen.decode(errors="replace")
        for row, column, _, char in re.findall(r"\x1b\[(\d+);(\d+)H|(\x1b\[[\d;?<>=$]*[a-zA-Z])|([^\x1b])", text):
            if row:
                y, x = int(row) - 1, int(column) - 1
            elif char:
                cells[y, x] = char
                x += 1
        return ["".join(cells.get((y, x), " ") for x in range(WIDTH)) for y in range(HEIGHT)]


def measured(folder):
    """Return how many trials are saved."""
    return sum(not trial.warmup for path in folder.glob("*.toml") for trial in load(path).trials)


def wait_until_saved(folder, n_trials):
    ticks = threading.Event()
    for _ in range(HUNG_S * 10):
        if measured(folder) >= n_trials:
            return
        ticks.wait(0.1)
    raise AssertionError(f"{measured(folder)} of {n_trials} trials are saved")


@pytest.mark.parametrize("answers", [True, False], ids=["says how far it has read", "says nothing"])
def test_measurement_goes_on_and_the_screen_is_right_afterwards(tmp_path, answers):
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    command = [sys.executable, "-m", "tests.bench.observer_share"]
    command += ["--trial-s", str(TRIAL_S), "--inside", str(sessions), str(TOKENS_PER_S)]
    env = os.environ | {
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        "TUIBENCH_CACHE": str(tmp_path / "cache"),
        "TUIBENCH_CONFIG": str(tmp_path / "config.toml"),
    }
    line = Line(command, env, answers=answers)
    process = psutil.Process(line.child.pid)
    try:
        line.wait_for("Palette")
        line.send("Hello")
        line.wait_for("Hello")
        started = len(line.seen)
        line.send(F5)
        line.wait_for("decode", started)
        line.flowing.clear()
        wait_until_saved(sessions, N_TRIALS)
        n_before, resident = len(line.seen), process.memory_info().rss
        line.flowing.set()
        line.wait_for_row(f"ended · {N_TRIALS}/{N_TRIALS} trials")
        line.wait_for_row(r"✓ baseline +2/2 ")
        line.wait_for_row(r"✓ kv-cache +2/2 ")
        assert len(line.seen) - n_before < MOST_PILED_UP
        assert process.memory_info().rss - resident < MOST_PILED_UP * 100
        line.send(F8)
        line.wait_for_row("nothing is running")
    finally:
        line.flowing.set()
        line.child.close(force=True)
