"""What watching costs: `python -m tests.bench.observer [ROUNDS]`.

Alternates a headless run with the same run in the dashboard (120×40 pseudo-terminal), and compares the decode speed
that the worker measured. In further runs keys are pressed while the method generates, and the time to their repaint is
taken; those runs are left out of the comparison.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.terminal import CTRL_Q, F5, TUIBENCH, Terminal
from tuibench.core.results.metrics import decode_tps
from tuibench.store.session import load

PROMPT = "Explain how a KV-cache makes decoding faster."
N_TOKENS = 256
LOAD_S = 8
"""Until the model is loaded and the warm-up is over."""
ESCAPE = "\x1b"
LETTERS = "абвгдежзийклмнопрстуфхцчшщъыьэюя"


def measured_tps(folder: Path) -> float:
    """Return the decode speed in the newest session of a folder."""
    newest = max(folder.glob("*.toml"), key=lambda path: path.stat().st_mtime_ns)
    (trial,) = (trial for trial in load(newest).trials if not trial.warmup)
    return decode_tps(trial)


def headless(folder: Path) -> float:
    options = ["--methods", "kv-cache", "--prompt", PROMPT, "--trials", "1", "--max-new-tokens", str(N_TOKENS)]
    subprocess.run([*TUIBENCH, "run", *options, "--output", str(folder)], capture_output=True, check=True)
    return measured_tps(folder)


def dashboard(folder: Path, key_ms: list[float] | None = None) -> tuple[float, float]:
    """Return decode speed, and bytes painted per second of the run."""
    terminal = Terminal(TUIBENCH, env={"TUIBENCH_SESSIONS": str(folder)})
    try:
        terminal.wait_for("alette")
        # Past the preset; no quality, so many tokens, one trial; of the ladder, the first method is taken out.
        for keys in (PROMPT, "\t", "\t", " ", "\t", str(N_TOKENS), "\t", "1", "\t", "\t", " "):
            press(terminal, keys)
        n_bytes, started_s = terminal.n_bytes, time.perf_counter()
        terminal.send(F5)
        if key_ms is not None:
            press_keys(terminal, key_ms)
        wait_for_session(folder)
        bytes_per_s = (terminal.n_bytes - n_bytes) / (time.perf_counter() - started_s)
    finally:
        terminal.send(CTRL_Q)
        time.sleep(0.5)
        terminal.close()
    return measured_tps(folder), bytes_per_s


def press(terminal: Terminal, keys: str) -> None:
    """Press keys as a person does: the focus must have moved before the next one."""
    terminal.send(keys)
    time.sleep(0.3)


def wait_for_session(folder: Path) -> None:
    """Wait until the measured trial is saved."""
    deadline_s = time.monotonic() + 300
    while time.monotonic() < deadline_s:
        for path in folder.glob("*.toml"):
            if any(not trial.warmup for trial in load(path).trials):
                return
        time.sleep(0.5)
    raise TimeoutError("the dashboard's run did not end")


def press_keys(terminal: Terminal, key_ms: list[float]) -> None:
    """Type into the prompt while the method generates."""
    time.sleep(LOAD_S)  # what is painted are single cells, no words to wait for
    press(terminal, ESCAPE)  # from the results, where a run puts the focus, to the prompt
    for letter in LETTERS:
        mark = terminal.mark()
        sent_s = terminal.send(letter)
        key_ms.append((terminal.wait_for(letter, mark, timeout_s=5) - sent_s) * 1e3)
        time.sleep(0.09)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    alone: list[float] = []
    watched: list[float] = []
    painted: list[float] = []
    key_ms: list[float] = []
    for number in range(rounds):
        for turn in (0, 1):
            with tempfile.TemporaryDirectory() as folder:
                if turn == number % 2:
                    alone.append(headless(Path(folder)))
                else:
                    tps, bytes_per_s = dashboard(Path(folder))
                    watched.append(tps)
                    painted.append(bytes_per_s)
    ratios = [ours / theirs for ours, theirs in zip(watched, alone, strict=True)]
    print(f"headless  {statistics.median(alone):6.2f} tok/s  {[round(value, 2) for value in alone]}")
    print(f"dashboard {statistics.median(watched):6.2f} tok/s  {[round(value, 2) for value in watched]}")
    medians = statistics.median(watched) / statistics.median(alone)
    print(f"ratio of medians {medians:.3f}, median of paired ratios {statistics.median(ratios):.3f}")
    print(f"painted {statistics.median(painted) / 1e3:.1f} kB/s")
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            dashboard(Path(folder), key_ms)
    ordered = sorted(key_ms)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    print(
        f"key to repaint while generating: p50 {statistics.median(ordered):.0f} ms, p95 {p95:.0f} ms, n {len(ordered)}"
    )


if __name__ == "__main__":
    main()
