"""The best of the ladder against the best of others' runtimes: peers are no rungs, and stand apart from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tuibench.core import format as fmt
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.ratio_words import interval_and_outcome
from tuibench.core.results.recommendation import MAX_KLD
from tuibench.core.results.row import REFERENCE, Row
from tuibench.core.run.control import is_control, method_of
from tuibench.core.run.needs import Need, lacks

HEADING = "runtimes and servers of others"
"""What stands above their rows, below those of the ladder."""


def is_peer(method: str, peers: Collection[str]) -> bool:
    """Return whether a method, or what it is a control of, runs in a runtime or on a server of others."""
    name = method_of(method)
    return name in peers or lacks(name, Need.RUNG)


def apart(rows: Sequence[Row], peers: Collection[str]) -> tuple[list[Row], list[Row]]:
    """Return the rows of the ladder, and those of others' runtimes and servers, each in their order.

    Args:
        rows: Any.
        peers: Methods that run in a runtime of others.
    """
    others = [row for row in rows if is_peer(row.method, peers)]
    return [row for row in rows if not is_peer(row.method, peers)], others


def peer_sentence(comparison: Comparison, peers: Collection[str], run: int = 0, max_kld: float = MAX_KLD) -> str | None:
    """Return how the fastest rung compares with the fastest peer, of those that are close enough to the reference.

    For example `fused-int8 is 1.60× [1.50, 1.70] llama-cpp-q8_0 at KLD 0.0050 against 0.0040`. None where either has
    none such, which without quality figures is always so.
    """
    ours, theirs = (_fastest(rows, max_kld) for rows in apart(comparison.of_run(run), peers))
    if ours is None or theirs is None:
        return None
    ratio = comparison.speed_ratio(run, ours.method, theirs.method)
    if ratio is None:
        return None
    speed = f"{fmt.times(ratio.value)} {interval_and_outcome(ratio)}"
    return fmt.printable(f"{ours.method} is {speed} {theirs.method} at KLD {_kld(ours)} against {_kld(theirs)}")


def _fastest(rows: Sequence[Row], max_kld: float) -> Row | None:
    usable = [row for row in rows if row.median(DECODE) and not row.not_same_model and not is_control(row.method)]
    close = [row for row in usable if row.is_within(max_kld)]
    return max(close, key=lambda row: row.median(DECODE) or 0, default=None)


def _kld(row: Row) -> str:
    return fmt.divergence(0.0 if row.method == REFERENCE else row.kld or 0.0)
