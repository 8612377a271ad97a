"""The columns of result and comparison tables: what each says of a row, at full length and in short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tuibench.core import format as fmt
from tuibench.core.results.comparison import REFERENCE, Comparison, Row, Speedup
from tuibench.core.results.metrics import (
    ACCEPTANCE,
    DECODE,
    LOAD,
    PEAK_RSS,
    PREFILL,
    SIZE,
    TOKENS_PER_STEP,
    TTFT,
    Metric,
)

Cell = Callable[[Comparison, Row], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table of rows."""

    id: str
    heading: str
    cell: Cell
    """Text of a row, made harmless for a terminal; `fmt.MISSING` where there is none."""
    short: Cell | None = None
    """The same in fewer characters, where a table must be narrow."""
    left: bool = False
    """Whether its text stands at the left edge, as names do."""


def _run(comparison: Comparison, row: Row) -> str:
    return fmt.printable_line(comparison.runs[row.run].label)


def _fact(name: str, comparison: Comparison, row: Row) -> str:
    return fmt.printable(comparison.runs[row.run].facts.get(name, fmt.MISSING))


def _trials(comparison: Comparison, row: Row) -> str:
    del comparison
    return str(row.n_trials)


def _metric(metric: Metric, comparison: Comparison, row: Row) -> str:
    del comparison
    return fmt.metric(metric, row.median(metric))


def _metric_with_interval(metric: Metric, comparison: Comparison, row: Row) -> str:
    found = row.metrics.get(metric.id)
    text = _metric(metric, comparison, row)
    return f"{text} {fmt.interval(found.low, found.high)}".rstrip() if found else text


def _gain(which: Callable[[Row], Speedup | None], comparison: Comparison, row: Row) -> str:
    del comparison
    against = which(row)
    return fmt.gain(against.ratio if against else None)


def _short_gain(which: Callable[[Row], Speedup | None], comparison: Comparison, row: Row) -> str:
    del comparison
    against = which(row)
    return fmt.times(against.ratio.value if against else None)


def _vs_first_session(comparison: Comparison, row: Row) -> str:
    del comparison
    return fmt.gain(row.vs_first_session)


def _kld(comparison: Comparison, row: Row) -> str:
    if row.kld is None:
        return _reference_or_missing(comparison, row)
    return fmt.divergence(row.kld, row.quality.kld_mean_se if row.quality else None)


def _short_kld(comparison: Comparison, row: Row) -> str:
    return fmt.divergence(row.kld) if row.kld is not None else _reference_or_missing(comparison, row)


def _reference_or_missing(comparison: Comparison, row: Row) -> str:
    scored = any(other.kld is not None for other in comparison.of_run(row.run))
    return "ref" if row.method == REFERENCE and row.n_trials and scored else fmt.MISSING


def _top1(comparison: Comparison, row: Row) -> str:
    del comparison
    return fmt.share(row.quality.top1 if row.quality else None)


def _perplexity(comparison: Comparison, row: Row) -> str:
    del comparison
    perplexity = row.quality.perplexity if row.quality else None
    return fmt.MISSING if perplexity is None else f"{perplexity:.2f}"


def _text(comparison: Comparison, row: Row) -> str:
    if row.agreement is None:
        in_run = any(other.agreement is not None for other in comparison.of_run(row.run))
        return "reference" if row.method == REFERENCE and in_run else fmt.MISSING
    index = row.agreement.first_divergence
    in_unit = "" if row.agreement.unit == "token" else f"{row.agreement.unit} "
    return "same" if index is None else f"differs at {in_unit}{index + 1}"


def _mbu(comparison: Comparison, row: Row) -> str:
    del comparison
    return fmt.MISSING if row.roofline is None else f"{100 * row.roofline.mbu:.0f} %"


def _bytes_per_token(comparison: Comparison, row: Row) -> str:
    del comparison
    return fmt.size(row.roofline.bytes_per_token if row.roofline else None)


def _observer(comparison: Comparison, row: Row) -> str:
    return fmt.share(comparison.observer_share(row.run, row.method))


def _percentile(share: float, comparison: Comparison, row: Row) -> str:
    del comparison
    return fmt.duration(row.itl_ns.get(share))


def _step(row: Row) -> Speedup | None:
    return row.step


def _total(row: Row) -> Speedup | None:
    return row.total


def _baseline(row: Row) -> Speedup | None:
    return row.against_baseline


METHOD = Column("method", "method", lambda _, row: fmt.printable(row.method), left=True)
TRIALS = Column("trials", "n", _trials)
STEP = Column("step", "step", partial(_gain, _step), partial(_short_gain, _step))
TOTAL = Column("total", "total", partial(_gain, _total), partial(_short_gain, _total))
KLD = Column("kld", "KLD", _kld, _short_kld)
TOP1 = Column("top1", "top-1", _top1)
GUESSES = tuple(Column(metric.id, metric.short, partial(_metric, metric)) for metric in (ACCEPTANCE, TOKENS_PER_STEP))
"""Of methods that guess tokens; where there is none, `filled` takes them away."""

LADDER = (
    METHOD,
    TRIALS,
    STEP,
    TOTAL,
    Column("ttft_ns", "TTFT", partial(_metric, TTFT)),
    Column("decode_tps", "decode", partial(_metric, DECODE)),
    Column("peak_rss_bytes", "peak RSS", partial(_metric, PEAK_RSS)),
    Column("artifact_bytes", "size", partial(_metric, SIZE)),
    *GUESSES,
    KLD,
    TOP1,
)
"""What a run's result shows, rung by rung."""


def comparison_columns(comparison: Comparison) -> tuple[Column, ...]:
    """Return every column of a comparison; those that say the same in all rows are for `varying` to take away."""
    facts = dict.fromkeys(name for run in comparison.runs for name in run.facts)
    return (
        Column("session", "session", _run, left=True),
        *(Column(name, name, partial(_fact, name), left=True) for name in facts),
        METHOD,
        TRIALS,
        Column("decode_tps", "decode", partial(_metric_with_interval, DECODE), partial(_metric, DECODE)),
        Column("baseline", f"× {comparison.baseline}", partial(_gain, _baseline), partial(_short_gain, _baseline)),
        STEP,
        Column("first", "× first session", _vs_first_session),
        Column("ttft_ns", "TTFT", partial(_metric, TTFT)),
        Column("prefill_tps", "prefill", partial(_metric, PREFILL)),
        Column("itl_p50_ns", "ITL p50", partial(_percentile, 0.50)),
        Column("itl_p99_ns", "p99", partial(_percentile, 0.99)),
        Column("load_ns", "load", partial(_metric, LOAD)),
        Column("peak_rss_bytes", "peak RSS", partial(_metric, PEAK_RSS)),
        Column("artifact_bytes", "size", partial(_metric, SIZE)),
        Column("mbu", "MBU", _mbu),
        Column("bytes_per_token", "read/token", _bytes_per_token),
        *GUESSES,
        KLD,
        TOP1,
        Column("perplexity", "PPL", _perplexity),
        Column("text", "text", _text, left=True),
        Column("observer", "observer", _observer),
        Column("pareto", "best", lambda _, row: "★" if row.best_for_its_quality else fmt.MISSING, left=True),
    )


Table = list[list[str]]
"""Lines of cells, the headings first."""


def cells(columns: Sequence[Column], comparison: Comparison, rows: Sequence[Row], *, short: frozenset[str]) -> Table:
    """Return the text of a table; columns whose id is in `short` use their short form."""
    makers = [column.short if column.short and column.id in short else column.cell for column in columns]
    return [[column.heading for column in columns], *([make(comparison, row) for make in makers] for row in rows)]


def filled(columns: Sequence[Column], comparison: Comparison, rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns that have a value in some row."""
    return tuple(column for column in columns if any(column.cell(comparison, row) != fmt.MISSING for row in rows))


ALWAYS = frozenset({"method", "decode_tps"})


def varying(columns: Sequence[Column], comparison: Comparison, rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns that tell rows apart: constant ones are left out, except those that every table needs."""
    return tuple(
        column
        for column in columns
        if column.id in ALWAYS or len(rows) == 1 or len({column.cell(comparison, row) for row in rows}) > 1
    )


def constants(columns: Sequence[Column], comparison: Comparison, rows: Sequence[Row]) -> dict[str, str]:
    """Return what all rows have in common, by heading: the columns that `varying` leaves out and that say something."""
    shown = varying(columns, comparison, rows)
    hidden = (column for column in columns if column not in shown)
    common = {column.heading: column.cell(comparison, rows[0]) for column in hidden} if rows else {}
    return {heading: text for heading, text in common.items() if text != fmt.MISSING}
