"""The best of the ladder against the best of others' runtimes: peers are no rungs, and stand apart from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tuibench.core import format as fmt
from tuibench.core.results.comparison import REFERENCE, Comparison, Row
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.verdict import MAX_KLD
from tuibench.core.run.control import is_control
from tuibench.core.run.endpoint import is_endpoint
from tuibench.core.statistics.stats import Outcome


def apart(rows: Sequence[Row], peers: Collection[str]) -> tuple[list[Row], list[Row]]:
    """Return the rows of the ladder, and those of others' runtimes and servers, each in their order.

    Args:
        rows: Any.
        peers: Methods that run in a runtime of others.
    """
    others = [row for row in rows if row.method in peers or is_endpoint(row.method)]
    return [row for row in rows if row not in others], others


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
    words = {Outcome.UNKNOWN: "(too few trials to tell) ", Outcome.NONE: "(no difference) "}
    interval = "" if ratio.outcome is Outcome.UNKNOWN else f"{fmt.interval(ratio.low, ratio.high)} "
    speed = f"{fmt.times(ratio.value)} {interval}{words.get(ratio.outcome, '')}"
    return fmt.printable(f"{ours.method} is {speed}{theirs.method} at KLD {_kld(ours)} against {_kld(theirs)}")


def _fastest(rows: Sequence[Row], max_kld: float) -> Row | None:
    usable = [row for row in rows if row.median(DECODE) and not row.not_same_model and not is_control(row.method)]
    close = [row for row in usable if row.method == REFERENCE or (row.kld is not None and row.kld <= max_kld)]
    return max(close, key=lambda row: row.median(DECODE) or 0, default=None)


def _kld(row: Row) -> str:
    return fmt.divergence(0.0 if row.method == REFERENCE else row.kld or 0.0)
