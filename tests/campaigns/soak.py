"""Run trials for hours and watch what the watching process keeps: memory, file descriptors, zombies.

    python -m tests.campaigns.soak --minutes 120               # `tuibench run`
    python -m tests.campaigns.soak --minutes 120 --dashboard   # run after run in the dashboard, in a pseudo-terminal

The trials are a scripted method's in real worker processes: many of them, and no model to wait for. A run keeps every
token of its trials, so `tuibench run` is measured over one run of trials without end with the growth per trial told;
the dashboard starts one run after the other and must give back what the last one took.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.scripted_methods import provide, save_toy_model
from tests.terminal import Terminal
from tuibench.store.session import load

_EVERY_S = 1.0
_MIB = 1 << 20
_F5 = "\x1b[15~"
_ONLY_SCRIPTED = """
import sys
import tuibench.methods as methods
everything = methods._entry_points
methods._entry_points = lambda: {name: point for name, point in everything().items() if name == "sound"}
import tuibench.measure.run.measurement as measurement
async def unscored(self): pass
measurement.Measurement._qualities = unscored
from tuibench.__main__ import main
sys.exit(main())
"""


@dataclass
class Samples:
    """What was seen of one process."""

    rss_bytes: list[int] = field(default_factory=list)
    n_fds: list[int] = field(default_factory=list)
    n_zombies: list[int] = field(default_factory=list)

    def take(self, process: psutil.Process) -> None:
        self.rss_bytes.append(process.memory_info().rss)
        self.n_fds.append(process.num_fds())
        zombies = 0
        for child in process.children():
            with suppress(psutil.Error):
                zombies += child.status() == psutil.STATUS_ZOMBIE
        self.n_zombies.append(zombies)

    def report(self) -> str:
        """Compare the tenth after the warm-up (a fifth) with the last tenth."""
        n = len(self.rss_bytes)
        early, late = slice(n // 5, n // 5 + max(1, n // 10)), slice(n - max(1, n // 10), n)
        before, after = (statistics.median(self.rss_bytes[part]) for part in (early, late))
        fds = (statistics.median(self.n_fds[part]) for part in (early, late))
        thrice = zip(self.n_zombies, self.n_zombies[1:], self.n_zombies[2:], strict=False)
        lasting = sum(all(seen) for seen in thrice)
        return (
            f"RSS {before / _MIB:.1f} → {after / _MIB:.1f} MiB ({(after - before) / _MIB:+.1f}), "
            f"file descriptors {' → '.join(f'{n:.0f}' for n in fds)}, zombies older than 2 s: {lasting}, {n} samples"
        )


def _environment(folder: Path, step_s: float) -> dict[str, str]:
    return {
        **provide(folder / "installed"),
        "TUIBENCH_CACHE": str(folder / "cache"),
        "TUIBENCH_SESSIONS": str(folder / "sessions"),
        "TUIBENCH_CONFIG": str(folder / "config.toml"),
        "TUIBENCH_TEST_STEP_S": str(step_s),
    }


def soak_run(folder: Path, seconds: float, step_s: float, n_tokens: int) -> str:
    """Soak `tuibench run`."""
    model = save_toy_model(folder / "toy")
    command = [
        sys.executable, "-m", "tuibench", "run", "--model", str(model), "--methods", "sound", "--prompt", "a b",
        "--threads", "1", "--no-quality", "--trials", "150000", "--max-new-tokens", str(n_tokens),
    ]  # fmt: skip
    samples = Samples()
    with (folder / "log").open("wb") as log:
        run = subprocess.Popen(command, env=os.environ | _environment(folder, step_s), stdout=log, stderr=log)
        _watch(psutil.Process(run.pid), samples, seconds)
        run.send_signal(signal.SIGTERM)  # which a shell's `&` does not have ignored, as it has SIGINT
        code = run.wait(60)
    n_trials = sum(len(load(path).trials) for path in (folder / "sessions").glob("*.toml"))
    return f"tuibench run: {n_trials} trials of {n_tokens} tokens, exit code {code}; {samples.report()}"


def soak_dashboard(folder: Path, seconds: float, step_s: float) -> str:
    """Soak the dashboard."""
    model = save_toy_model(folder / "toy")
    command = [sys.executable, "-c", _ONLY_SCRIPTED, "--model", str(model)]
    terminal = Terminal(command, env=_environment(folder, step_s), cwd=str(folder))
    process = psutil.Process(terminal.child.pid)
    samples = Samples()

    def start_the_next() -> None:
        terminal.send(_F5)
        terminal._chunks.clear()  # what it has written is of no interest, and would fill this process

    time.sleep(5)
    terminal.send("a b")  # the prompt
    _watch(process, samples, seconds, start_the_next)
    n_runs = len(list((folder / "sessions").glob("*.toml")))
    terminal.child.terminate(force=True)
    return f"dashboard: {n_runs} runs; {samples.report()}"


def _watch(process: psutil.Process, samples: Samples, seconds: float, each_time=lambda: None) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        time.sleep(_EVERY_S)
        samples.take(process)
        each_time()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--step", type=float, default=0.01, metavar="SECONDS", help="time that a token takes")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--dashboard", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.dashboard:
            print(soak_dashboard(Path(folder), options.minutes * 60, options.step))
        else:
            print(soak_run(Path(folder), options.minutes * 60, options.step, options.tokens))
    return 0


if __name__ == "__main__":
    sys.exit(main())
