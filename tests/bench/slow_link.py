"""What a slow line does to keys, painting and measurement: `python -m tests.bench.slow_link [fast|slow|mute|low …]`.

The same run of one method in the dashboard at the end of a line that is drained slowly, once with a terminal that says
how far it has read, and once with one that does not. Keys are pressed while the method generates. The line is a real
SSH connection to the loopback whose client is read slowly.
"""

from __future__ import annotations

import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.observer import LETTERS, PROMPT, measured_tps, wait_for_session
from tests.slow_terminal import SlowTerminal
from tests.ssh_server import SshServer
from tests.terminal import CTRL_Q, F5, TUIBENCH
from tuibench import paths


def run(bytes_per_s: float, *, answers: bool, keys: list[str], low_bandwidth: bool = False) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = shlex.join([*TUIBENCH, *(["--low-bandwidth"] if low_bandwidth else [])])
        sessions = folder / "sessions"
        server = SshServer(folder)
        settings = f"TUIBENCH_SESSIONS={sessions} TUIBENCH_CACHE={paths.cache_dir()} LC_ALL=C.UTF-8"
        command = server.command(f"cd {Path.cwd()}; {settings} {program}")
        terminal = SlowTerminal(command, bytes_per_s=bytes_per_s, answers=answers, buffer_bytes=4096)
        try:
            terminal.wait_for("alette")
            time.sleep(3)
            for key in keys:
                terminal.send(key)
                time.sleep(0.5)
            mark = terminal.mark()
            terminal.send(F5)
            terminal.wait_for("decode", mark, timeout_s=120)
            time.sleep(4)
            terminal.send("\x1b")
            time.sleep(1)
            n_read, waited_ms, started_s = terminal.mark(), [], time.perf_counter()
            for letter in LETTERS[:12]:
                mark = terminal.mark()
                sent_s = terminal.send(letter)
                waited_ms.append((terminal.wait_for(letter, mark, timeout_s=60) - sent_s) * 1e3)
                time.sleep(0.3)
            painted = (terminal.mark() - n_read) / (time.perf_counter() - started_s)
            wait_for_session(sessions)
        finally:
            terminal.send(CTRL_Q)
            time.sleep(0.5)
            terminal.close()
            server.close()
        print(
            f"{bytes_per_s / 1e3:.0f} kB/s{', low bandwidth' if low_bandwidth else ''}, "
            f"{'says' if answers else 'does not say'} how far it has read: "
            f"{measured_tps(sessions):.2f} tok/s, keys p50 {statistics.median(waited_ms):.0f} ms, "
            f"max {max(waited_ms):.0f} ms (n {len(waited_ms)}), painted {painted / 1e3:.1f} kB/s"
        )


VARIANTS = {
    "fast": {"bytes_per_s": 1e6, "answers": True},
    "slow": {"bytes_per_s": 8e3, "answers": True},
    "mute": {"bytes_per_s": 8e3, "answers": False},
    "low": {"bytes_per_s": 8e3, "answers": True, "low_bandwidth": True},
}


def main() -> None:
    # The prompt; no quality; tokens and trials; the first method of the ladder taken out.
    keys = [PROMPT, "\t", "\t", " ", "\t", "192", "\t", "1", "\t", "\t", " "]
    for name in sys.argv[1:] or VARIANTS:
        run(keys=keys, **VARIANTS[name])


if __name__ == "__main__":
    main()
