"""CSV: one line per method of a run, raw numbers in base units, intervals in columns of their own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import msgspec

from tuibench.core.format import printable
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import METRICS
from tuibench.core.results.recommendation import Recommendation
from tuibench.core.results.row import Row, Speedup
from tuibench.core.results.sweep import swept_metrics, winner
from tuibench.core.results.verdict import recommend
from tuibench.core.run.record import QualityRecord
from tuibench.core.statistics.stats import PERCENTILES, Ratio

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_QUALITY = (
    "n_scored", "perplexity", "perplexity_se", "kld_mean", "kld_mean_se", "kld_median", "kld_p99", "kld_max",
    "delta_p_mean", "delta_p_mean_se", "delta_p_rms", "delta_p_rms_se", "top1", "top1_se",
)  # fmt: skip
_BY_DEPTH = ("depths", "depth_klds", "depth_kld_ses")

Value = str | float | int | None


def as_csv(comparison: Comparison) -> str:
    """Return a comparison as CSV. A number that does not exist is an empty cell."""
    advice = [recommend(comparison, number) for number in range(len(comparison.runs))]
    lines = [dict(_cells(comparison, row, advice[row.run])) for row in comparison.rows]
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: _inert(value) for name, value in line.items()})
    return text.getvalue()


def _inert(value: Value) -> Value:
    """Return a value that no spreadsheet takes for a formula; numbers stay numbers, to 12 digits."""
    if isinstance(value, float):
        return f"{value:.12g}"
    if not isinstance(value, str):
        return value
    return f"'{printable(value)}" if value.startswith(_FORMULA_STARTS) else printable(value)


def _cells(comparison: Comparison, row: Row, advice: Recommendation) -> Iterator[tuple[str, Value]]:
    run = comparison.runs[row.run]
    yield "session", run.label
    yield from run.facts.items()
    if run.shape is not None:
        yield from msgspec.structs.asdict(run.shape).items()
    yield "method", row.method
    yield "n_trials", row.n_trials
    for metric in filter(comparison.tells, METRICS):
        found = row.metrics.get(metric.id)
        yield metric.id, found.median if found else None
        yield f"{metric.id}_low", found.low if found else None
        yield f"{metric.id}_high", found.high if found else None
    roof = row.roofline
    yield "read_bytes_per_s", run.machine.read_bytes_per_s if run.machine else None
    yield "bytes_per_token", roof.bytes_per_token if roof else None
    yield "mbu", roof.mbu if roof else None
    yield "bound", roof.bound if roof else None
    yield "observer_share", comparison.observer_share(row.run, row.method)
    for share in PERCENTILES:
        yield f"itl_p{share * 100:g}_ns", row.itl_ns.get(share)
    # The yardstick has been "baseline" in CSV and JSON from the first: others read these names.
    for name, against in (("step", row.step), ("total", row.total), ("baseline", row.against_yardstick)):
        yield from _against(name, against)
    yield from _ratio("first_session", row.vs_first_session)
    yield from _quality(row.quality)
    yield "first_divergence", row.agreement.first_divergence if row.agreement else None
    yield "n_compared", row.agreement.n_compared if row.agreement else None
    yield "best_for_its_quality", int(row.best_for_its_quality)
    yield "grade", advice.grade
    yield "recommended", int(row.method == advice.recommended)
    yield "lamp", row.lamp
    yield "flags", "; ".join(row.flags)
    yield "failure_kind", row.failure.failure_kind if row.failure else None
    yield "failure_message", row.failure.failure_message if row.failure else None
    yield "compared_unit", row.agreement.unit if row.agreement else None
    if run.shape is not None or run.host is not None:
        for metric in swept_metrics(comparison):
            best = winner(comparison, row.run, metric)
            yield f"best_{metric.id}", int(best is not None and best.method == row.method)
            yield f"best_{metric.id}_sure", int(best is not None and best.method == row.method and best.sure)


def _quality(quality: QualityRecord | None) -> Iterator[tuple[str, Value]]:
    for name in _QUALITY:
        yield name, getattr(quality, name) if quality else None
    if quality is None:
        return
    for depth, kld, error in zip(*(getattr(quality, name) for name in _BY_DEPTH), strict=True):
        yield f"kld_from_{depth}", kld
        yield f"kld_from_{depth}_se", error
    if quality.reference is not None:
        yield "reference", quality.reference


def _against(name: str, against: Speedup | None) -> Iterator[tuple[str, Value]]:
    yield f"{name}_method", against.method if against else None
    yield from _ratio(name, against.ratio if against else None)


def _ratio(name: str, ratio: Ratio | None) -> Iterator[tuple[str, Value]]:
    yield f"{name}_ratio", ratio.value if ratio else None
    yield f"{name}_low", ratio.low if ratio else None
    yield f"{name}_high", ratio.high if ratio else None
    yield f"{name}_outcome", ratio.outcome if ratio else None
