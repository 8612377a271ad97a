"""What a result tells in full: closeness to the reference with its standard errors, and memory phase by phase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tuibench.core import format as fmt
from tuibench.core.present.columns import KLD, METHOD, SESSION, Column
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.row import REFERENCE, Row
from tuibench.core.run.record import QualityRecord, TrialRecord


@dataclass(frozen=True, slots=True)
class _Figure:
    """A cell that one figure of the quality fills, with its standard error where it has one."""

    of: Callable[[QualityRecord], float | None]
    error_of: Callable[[QualityRecord], float | None]
    text: Callable[[float], str]

    def __call__(self, comparison: Comparison, row: Row) -> str:
        del comparison
        figure, error = (self.of(row.quality), self.error_of(row.quality)) if row.quality else (None, None)
        if figure is None:
            return fmt.MISSING
        return self.text(figure) if error is None else f"{self.text(figure)} ± {self.text(error)}"


def _divergence(of: Callable[[QualityRecord], float | None]) -> _Figure:
    return _Figure(of, lambda _: None, fmt.divergence)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %".replace("-", "−")


def _number(value: float) -> str:
    return f"{value:.2f}"


def _agreed(comparison: Comparison, row: Row) -> str:
    del comparison
    if row.agreement is None:
        return "reference" if row.method == REFERENCE else fmt.MISSING
    index, n_compared = row.agreement.first_divergence, row.agreement.n_compared
    return f"{n_compared if index is None else index} of {fmt.counted(n_compared, row.agreement.unit)}"


def _length(comparison: Comparison, row: Row) -> str:
    """Return how long the texts are: one number, unless trials ended early."""
    lengths = {record.n_gen for record in _measured(comparison, row)}
    if not lengths:
        return fmt.MISSING
    least, *most = map(str, sorted({min(lengths), max(lengths)}))
    return f"{' – '.join((least, *most))} tokens"


QUALITY = (
    METHOD,
    KLD,
    Column("kld_median", "median", _divergence(lambda quality: quality.kld_median)),
    Column("kld_p99", "p99", _divergence(lambda quality: quality.kld_p99)),
    Column("delta_p", "Δp", _Figure(lambda each: each.delta_p_mean, lambda each: each.delta_p_mean_se, _percent)),
    Column("delta_p_rms", "Δp RMS", _Figure(lambda each: each.delta_p_rms, lambda each: each.delta_p_rms_se, _percent)),
    Column("top1", "top-1", _Figure(lambda each: each.top1, lambda each: each.top1_se, _percent)),
    Column("perplexity", "PPL", _Figure(lambda each: each.perplexity, lambda each: each.perplexity_se, _number)),
    Column("agreed", "text agrees for", _agreed),
    Column("length", "text length", _length),
)
"""Teacher-forced figures with their standard errors; the greedy text until it leaves the reference's."""


def scored_on(quality: QualityRecord) -> str:
    """Return what the figures of the quality were taken on; made harmless for a terminal."""
    told = f"{quality.eval_name}: {fmt.counted(quality.n_scored, 'position')}"
    if quality.window_tokens is not None:
        told += f" in windows of {quality.window_tokens:,} tokens"
    if quality.reference_bytes is not None:
        told += f", reference cached in {fmt.size(quality.reference_bytes)}"
    if quality.reference is not None:
        told += f"; the reference: {quality.reference}"
    return fmt.printable(told)


def by_depth(quality: QualityRecord) -> list[tuple[str, str]]:
    """Return the divergence by context position: from where to where, and the figure with its standard error."""
    if not quality.depths:
        return []
    ends = [*(depth - 1 for depth in quality.depths[1:]), (quality.window_tokens or 0) - 2]
    names = [f"{start:,} – {end:,}" for start, end in zip(quality.depths, ends, strict=True)]
    figures = zip(quality.depth_klds, quality.depth_kld_ses, strict=True)
    told = [fmt.divergence(kld, error) for kld, error in figures]
    return list(zip(names, told, strict=True))


def depth_rows(comparison: Comparison) -> list[Row]:
    """Return a row for each quality that is known by context position, which is the same under all shapes of a run."""
    found = {
        id(row.quality): row for row in reversed(comparison.rows) if row.quality is not None and row.quality.depths
    }
    return list(reversed(found.values()))


def depth_columns(comparison: Comparison) -> tuple[Column, ...]:
    """Return the columns for these rows: whose, and the divergence in each band of positions."""
    rows = depth_rows(comparison)
    bands = {name: None for row in rows if row.quality for name, _ in by_depth(row.quality)}
    several = len({SESSION.cell(comparison, row) for row in rows}) > 1
    return (
        *((SESSION,) if several else ()),
        METHOD,
        *(Column(f"kld {name}", f"KLD at {name}", partial(_band, name)) for name in bands),
    )


def _band(name: str, comparison: Comparison, row: Row) -> str:
    del comparison
    return dict(by_depth(row.quality)).get(name, fmt.MISSING) if row.quality else fmt.MISSING


def _measured(comparison: Comparison, row: Row) -> tuple[TrialRecord, ...]:
    found = comparison.measured[row.run].get(row.method)
    return found.records if found else ()


def _greatest(of: Callable[[TrialRecord], int | None]) -> Callable[[Comparison, Row], str]:
    """Return the cell of a memory figure: what is told once per worker comes with the warm-up."""

    def cell(comparison: Comparison, row: Row) -> str:
        records = (each for each in comparison.runs[row.run].trials if each.method == row.method and not each.failed)
        return fmt.size(max((n_bytes for each in records if (n_bytes := of(each)) is not None), default=None))

    return cell


def _kv_cache(comparison: Comparison, row: Row) -> str:
    records = [each for each in comparison.runs[row.run].trials if each.method == row.method and not each.failed]
    kv_cache = next((each.kv_cache for each in records if each.kv_cache is not None), None)
    length = max((each.n_prompt + each.n_gen for each in records if each.n_prompt is not None), default=None)
    if kv_cache is None or length is None:
        return fmt.MISSING
    return f"{fmt.size(kv_cache.at(length))} at {fmt.counted(length, 'token')}"


PEAKS = (
    Column("prepare_peak_bytes", "prepared", _greatest(lambda record: record.prepare_peak_bytes)),
    Column("load_peak_bytes", "loaded", _greatest(lambda record: record.load_peak_bytes)),
    Column("prefill_peak_bytes", "prefilled", _greatest(lambda record: record.prefill_peak_bytes)),
    Column("peak_rss_bytes", "decoded", _greatest(lambda record: record.peak_rss_bytes)),
)
"""The worker's high-water mark at the end of each phase."""
SHARES = (
    Column("rss_anon_bytes", "private", _greatest(lambda record: record.rss_anon_bytes)),
    Column("rss_file_bytes", "mapped", _greatest(lambda record: record.rss_file_bytes)),
    Column("kv_cache", "KV-cache", _kv_cache),
)
"""What of the worker's memory is its own or mapped from files."""
MEMORY = (METHOD, *PEAKS, *SHARES)
