"""How long until the dashboard answers, and `--help` is there: `python -m tests.bench.startup`.

First interactive frame: process start until the footer is on the (pseudo-)terminal; interactive: until a key that was
pressed right after that is echoed in the prompt. Medians of interleaved rounds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

from tests.terminal import TUIBENCH, Terminal

ROUNDS = 7


def command_ms(*command: str) -> float:
    started_s = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - started_s) * 1e3


def dashboard_ms(home: str) -> tuple[float, float]:
    terminal = Terminal(TUIBENCH, env={"TUIBENCH_SESSIONS": home, "HOME": home})
    try:
        frame_s = terminal.wait_for("alette") - terminal.started_s
        mark = terminal.mark()
        terminal.send("Ж")
        return frame_s * 1e3, (terminal.wait_for("Ж", mark) - terminal.started_s) * 1e3
    finally:
        terminal.close()


def main() -> None:
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as home:
        for _ in range(ROUNDS + 1):
            frame_ms, echo_ms = dashboard_ms(home)
            row = {
                "bare python": command_ms(sys.executable, "-c", "pass"),
                "tuibench --help": command_ms(*TUIBENCH, "--help"),
                "import textual.app, textual.widgets": command_ms(
                    sys.executable, "-c", "import textual.app, textual.widgets"
                ),
                "import tuibench.ui.app and bench screen": command_ms(
                    sys.executable, "-c", "import tuibench.ui.app, tuibench.ui.screens.bench"
                ),
                "first frame": frame_ms,
                "first key echoed": echo_ms,
            }
            for name, value in row.items():
                measured.setdefault(name, []).append(value)
    for name, values in measured.items():
        warm = values[1:]  # the first round reads from the disk
        print(
            f"{name:42} {statistics.median(warm):7.0f} ms   [{min(warm):.0f}, {max(warm):.0f}]   cold {values[0]:.0f}"
        )


if __name__ == "__main__":
    main()
