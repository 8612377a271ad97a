"""Under the result of a run: how near each method comes to the machine's limit, and what the measuring itself cost."""

from __future__ import annotations

from tuibench.core import format as fmt
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.comparison import Comparison


def machine_lines(comparison: Comparison, run: int = 0) -> list[str]:
    """Return the lines of one run, made harmless for a terminal; none where nothing is known of its machine."""
    return [*_roofs(comparison, run), *_cost(comparison, run), *_conditions(comparison, run)]


def _roofs(comparison: Comparison, run: int) -> list[str]:
    found = {row.method: row.roofline.sentence for row in comparison.of_run(run) if row.roofline is not None}
    machine = comparison.runs[run].machine
    if not found or machine is None or machine.read_bytes_per_s is None:
        return []
    n_threads = _count(comparison.runs[run].n_threads, "thread")
    first = machine.first_read_bytes_per_s
    before = "" if first is None else f", the higher of two measurements; {first / 1e9:.1f} before a method read faster"
    return [
        f"read bandwidth with {n_threads}: {machine.read_bytes_per_s / 1e9:.1f} GB/s{before}",
        *(f"{fmt.printable(method)}: {sentence}" for method, sentence in found.items()),
    ]


def _cost(comparison: Comparison, run: int) -> list[str]:
    share = comparison.observer_share(run)
    return [] if share is None else [f"this program used {fmt.share(share)} of the CPU while it measured"]


def _conditions(comparison: Comparison, run: int) -> list[str]:
    """Return how many trials were disturbed, and by what."""
    measured = [record for record in comparison.runs[run].trials if not record.warmup and not record.failed]
    doubtful = [record for record in measured if record.lamp in {Lamp.YELLOW, Lamp.RED}]
    if not doubtful:
        return []
    reasons = [fmt.printable(reason) for record in doubtful for reason in record.validity]
    red = sum(record.lamp is Lamp.RED for record in doubtful)
    example = f"; for example: {reasons[0]}" if reasons else ""
    return [f"{len(doubtful)} of {_count(len(measured), 'trial')} disturbed, {red} of them badly{example}"]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
