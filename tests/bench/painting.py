"""What the dashboard paints and computes: `python -m tests.bench.painting [--low-bandwidth]`.

A scripted method generates in a 120×40 pseudo-terminal, four methods one after the other, so that the figures are the
dashboard's own: bytes written a second, CPU time of its process, and the time from a key to its repaint.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import ClassVar

import msgspec
import psutil

from tests.terminal import CTRL_Q, F5, Terminal
from tests.ui.scripted import METHODS, Program, ScriptedRun, answering, trial
from tuibench.core.run.plan import trial_order
from tuibench.core.run.run_events import RunEnded, RunStarted
from tuibench.ui.machine_sampler import sample_machine

NAMES = ("baseline", "kv-cache", "onnx", "int8-torch", "onnx-fused", "int8-dynamic", "int8-static", "int4-onnx")
STEP_MS = 9
N_TOKENS = 400
LETTERS = "абвгдежзийклмнопрстуфхцчшщъыьэюя"


class Generating(ScriptedRun):
    """A run whose tokens come in real time, 110 a second."""

    trials: ClassVar = {name: trial(name, n_expected=N_TOKENS, base_ms=STEP_MS) for name in NAMES}

    def __init__(self):
        super().__init__(())

    async def events(self):
        turns = trial_order(NAMES, 1)
        yield self._folded(RunStarted(NAMES, turns))
        for turn in turns:
            for event in self.trials[turn.method]:
                if getattr(getattr(event, "event", None), "text", None) is not None:
                    await asyncio.sleep(STEP_MS / 1e3)
                yield self._folded(event)
        yield self._folded(RunEnded())


def serve() -> None:
    """Be the dashboard in the pseudo-terminal."""
    base = METHODS["kv-cache"]
    methods = {name: msgspec.structs.replace(base, id=name) for name in NAMES}
    program = Program(methods=methods)
    services = answering(
        program.services,
        measure=lambda *_: Generating(),
        sample_machine=sample_machine,
        clock_s=time.monotonic,
    )
    program.services = services
    program.app(low_bandwidth="--low-bandwidth" in sys.argv).run()


def cpu_s(process: psutil.Process) -> float:
    """Return the processor time of a process so far."""
    times = process.cpu_times()
    return times.user + times.system


def key_times_ms(terminal: Terminal) -> list[float]:
    """Type letters, and return how long each took to be on the screen."""
    found = []
    for letter in LETTERS:
        mark = terminal.mark()
        sent_s = terminal.send(letter)
        found.append((terminal.wait_for(letter, mark, timeout_s=5) - sent_s) * 1e3)
        time.sleep(0.09)
    return sorted(found)


def p95(ordered: list[float]) -> float:
    return ordered[int(0.95 * (len(ordered) - 1))]


def main() -> None:
    options = [option for option in sys.argv[1:] if option == "--low-bandwidth"]
    terminal = Terminal([sys.executable, "-m", "tests.bench.painting", "--serve", *options])
    try:
        terminal.wait_for("alette")
        time.sleep(1)
        idle_ms = key_times_ms(terminal)
        terminal.send(F5)
        process = psutil.Process(terminal.child.pid)
        time.sleep(2)
        n_bytes, started_s, before_s = terminal.n_bytes, time.perf_counter(), cpu_s(process)
        time.sleep(16)
        wall_s = time.perf_counter() - started_s
        painted, used_s = terminal.n_bytes - n_bytes, cpu_s(process) - before_s
        terminal.send("\x1b")
        time.sleep(0.5)
        busy_ms = key_times_ms(terminal)
    finally:
        terminal.send(CTRL_Q)
        time.sleep(0.5)
        terminal.close()
    print(f"painted {painted / wall_s / 1e3:.1f} kB/s, CPU {100 * used_s / wall_s:.1f} % of a core, {wall_s:.0f} s")
    for label, ordered in (("idle", idle_ms), ("generating", busy_ms)):
        print(f"key to repaint, {label}: p50 {ordered[len(ordered) // 2]:.0f} ms, p95 {p95(ordered):.0f} ms")


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
