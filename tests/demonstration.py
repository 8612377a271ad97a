"""The README's moving picture, recorded from the real program in a real terminal (tmux), on the real default model.

python -m tests.demonstration [FILE]

Waiting is shortened: a run is shown at the speed that its caption names.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

from tests.film import Frame, animated_svg
from tests.tmux import Tmux
from tuibench import paths
from tuibench.methods import available_methods
from tuibench.models.local import DEFAULT_MODEL
from tuibench.models.origin.pull import pull_model

COLUMNS, LINES = 110, 34
PROMPT = "Why is the sky blue?"
TOGGLED = ("baseline", "onnx-fused", "int8-dynamic", "fused-int8")
"""Chosen besides kv-cache, and baseline, which takes its time, left out."""
N_TOKENS = 64
RUN_SPEED = 4
READ_S = 2.5


class Recorder:
    """A terminal, and what was seen on it."""

    def __init__(self, tmux: Tmux) -> None:
        self.tmux = tmux
        self.frames: list[Frame] = []
        self._caption = ""

    def look(self, shown_s: float) -> None:
        """Keep what is on the screen; one that is as before is shown longer."""
        lines = tuple(self.tmux.run("capture-pane", "-p", "-e", "-N").split("\n")[:LINES])
        last = self.frames[-1] if self.frames else None
        if last and (last.lines, last.caption) == (lines, self._caption):
            self.frames[-1] = Frame(lines, self._caption, last.shown_s + shown_s)
        else:
            self.frames.append(Frame(lines, self._caption, shown_s))

    def caption(self, text: str) -> None:
        """Say below the screen what is done now."""
        self._caption = text

    def press(self, *keys: str, until: str, shown_s: float = READ_S) -> None:
        """Press keys, wait for what they bring, and let it be read."""
        for key in keys:
            self.tmux.press(key)
        self.tmux.wait_for(until)
        self.settle()
        self.look(shown_s)

    def escape(self) -> None:
        """Go back. What follows Escape at once would be taken for a key pressed with Alt."""
        self.tmux.press("Escape")
        self.settle()

    def settle(self) -> None:
        """Wait until nothing moves."""
        before = ""
        while (now := self.tmux.run("capture-pane", "-p", "-e")) != before:
            before = now
            time.sleep(0.3)

    def watch(self, until: str, speed: float, every_s: float = 1.0) -> None:
        """Look on until something is on the screen, faster than it took place."""
        while until not in self.tmux.screen():
            self.look(every_s / speed)
            time.sleep(every_s)

    def play(self, seconds: float, every_s: float = 0.25) -> None:
        """Look on for a while at the speed it takes place."""
        for _ in range(round(seconds / every_s)):
            self.look(every_s)
            time.sleep(every_s)


def demonstrate(recorder: Recorder, prompt: str = PROMPT) -> None:
    """Go from a prompt to a verdict, and see it from all sides."""
    tmux = recorder.tmux
    recorder.caption("Type a prompt")
    for count in range(0, len(prompt) + 1, 2):
        tmux.type(prompt[count : count + 2])
        time.sleep(0.2)
        recorder.look(0.12)
    recorder.caption("Escape leaves the prompt: s settings, j, k, Space methods")
    choose(recorder)
    recorder.look(READ_S)
    recorder.caption(f"F5: every method in a process of its own, in turns, shown {RUN_SPEED} times as fast as it was")
    tmux.press("F5")
    tmux.wait_for("running")
    recorder.watch("ended", RUN_SPEED, every_s=1.4)
    recorder.settle()
    recorder.caption("Who leads, by how much, how sure that is, and where to go from there")
    recorder.look(2 * READ_S)
    recorder.caption("d: why is it fast or slow here?")
    recorder.press("d", until="esc closes", shown_s=2 * READ_S)
    recorder.escape()
    recorder.caption("c: which one to take")
    recorder.press("c", until="Yardstick", shown_s=2 * READ_S)
    recorder.press("v", until="Yardstick")
    recorder.escape()
    recorder.caption("r: all methods again, side by side, at recorded times")
    recorder.press("r", until="Differs", shown_s=0.3)
    recorder.play(5, every_s=0.5)
    recorder.escape()
    recorder.caption("F3: every measurement is a file, to replay, compare and share")
    recorder.press("F3", until="Search", shown_s=2 * READ_S)


def choose(recorder: Recorder) -> None:
    """Take fewer tokens than are offered, and the methods to measure."""
    recorder.escape()
    recorder.press("s", until="enter takes them", shown_s=0.8)
    recorder.tmux.type(str(N_TOKENS))
    recorder.settle()
    recorder.look(0.8)
    recorder.press("Enter", until=f"{N_TOKENS} tokens", shown_s=0.8)
    at = 0
    for rung, method in enumerate(available_methods()):
        if method in TOGGLED:
            for _ in range(rung - at):
                recorder.tmux.press("j")
                time.sleep(0.3)
                recorder.look(0.15)
            recorder.tmux.press("Space")
            recorder.settle()
            recorder.look(0.6)
            at = rung
    recorder.tmux.wait_for(f"{len(TOGGLED)} methods")


def main(path: Path) -> None:
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "TUIBENCH_SESSIONS": f"{home}/sessions",
            "TUIBENCH_HISTORY": f"{home}/used",
            "XDG_CONFIG_HOME": f"{home}/config",
            "TUIBENCH_CACHE": os.environ.get("TUIBENCH_CACHE", str(paths.cache_dir())),
        }
        command = ["env", *(f"{name}={value}" for name, value in environment.items()), sys.executable, "-m", "tuibench"]
        tmux = Tmux(Path(home) / "tmux", COLUMNS, LINES)
        try:
            tmux.type(shlex.join([*command, "--color", "truecolor"]))
            tmux.press("Enter")
            tmux.wait_for("F5 Run")
            recorder = Recorder(tmux)
            demonstrate(recorder)
            tmux.press("C-q")
        finally:
            tmux.close()
    drawn = animated_svg(recorder.frames, COLUMNS, LINES)
    path.write_text(drawn, encoding="utf-8")
    print(f"{path}: {len(recorder.frames)} frames, {len(drawn.encode()) / 1000:.0f} kB", file=sys.stderr)


if __name__ == "__main__":
    pull_model(DEFAULT_MODEL)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else paths.sample_sessions() / "sample-demonstration.svg")
