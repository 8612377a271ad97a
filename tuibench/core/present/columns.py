"""The columns of result and comparison tables: what each says of a row, at full length and in short."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from tuibench.core import format as fmt
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import (
    ACCEPTANCE,
    DECODE,
    GOODPUT,
    LOAD,
    PEAK_RSS,
    PREFILL,
    SIZE,
    TOKENS_PER_STEP,
    TOTAL_DECODE,
    TTFT,
    Metric,
)
from tuibench.core.results.row import REFERENCE, Row, Speedup
from tuibench.core.run.needs import Need, lacks

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
    needs: tuple[Need, ...] = ()
    """What no row has a value without."""


def _run(comparison: Comparison, row: Row) -> str:
    return fmt.printable_line(comparison.runs[row.run].label)


def _fact(name: str, comparison: Comparison, row: Row) -> str:
    return fmt.printable(comparison.runs[row.run].facts.get(name, fmt.MISSING))


def _trials(comparison: Comparison, row: Row) -> str:
    del comparison
    return str(row.n_trials)


def _metric(metric: Metric, comparison: Comparison, row: Row) -> str:
    return fmt.metric(metric, row.median(metric) if comparison.tells(metric) else None)


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


def _short_vs_first_session(comparison: Comparison, row: Row) -> str:
    del comparison
    return fmt.times(row.vs_first_session.value if row.vs_first_session else None)


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


def _reference(comparison: Comparison, row: Row) -> str:
    """Return how what the run's predictions are compared with was computed, where not plainly."""
    told = (each.quality.reference for each in comparison.of_run(row.run) if each.quality is not None)
    return fmt.printable(next(filter(None, told), fmt.MISSING))


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


def _yardstick(row: Row) -> Speedup | None:
    return row.against_yardstick


SESSION = Column("session", "session", _run, left=True)
METHOD = Column("method", "method", lambda _, row: fmt.printable(row.method), left=True)
TRIALS = Column("trials", "n", _trials)
STEP = Column("step", "step", partial(_gain, _step), partial(_short_gain, _step))
TOTAL = Column("total", "total", partial(_gain, _total), partial(_short_gain, _total))
_QUALITY = (Need.PREDICTIONS, Need.COMPARED_PREDICTIONS)
KLD = Column("kld", "KLD", _kld, _short_kld, needs=_QUALITY)
TOP1 = Column("top1", "top-1", _top1, needs=_QUALITY)


def of_metrics(*metrics: Metric) -> tuple[Column, ...]:
    """Return a column for each metric: its own heading, its medians."""
    return tuple(Column(each.id, each.short, partial(_metric, each), needs=each.needs) for each in metrics)


GUESSES = of_metrics(ACCEPTANCE, TOKENS_PER_STEP)
"""Of methods that guess tokens; where there is none, `tellable` takes them away."""

USERS = of_metrics(TOTAL_DECODE, GOODPUT)
"""Of several users at once; likewise."""

LADDER = (
    METHOD,
    TRIALS,
    STEP,
    TOTAL,
    *of_metrics(TTFT, DECODE),
    *USERS,
    *of_metrics(PEAK_RSS, SIZE),
    *GUESSES,
    KLD,
    TOP1,
)
"""What a run's result shows, rung by rung."""


def comparison_columns(comparison: Comparison) -> tuple[Column, ...]:
    """Return every column of a comparison; those that say the same in all rows are for `varying` to take away."""
    facts = dict.fromkeys(name for run in comparison.runs for name in run.facts)
    return (
        SESSION,
        *(Column(name, name, partial(_fact, name), left=True) for name in facts),
        METHOD,
        TRIALS,
        Column("decode_tps", "decode", partial(_metric_with_interval, DECODE), partial(_metric, DECODE)),
        Column("yardstick", f"× {comparison.yardstick}", partial(_gain, _yardstick), partial(_short_gain, _yardstick)),
        *USERS,
        STEP,
        Column("first", "× first session", _vs_first_session, _short_vs_first_session),
        *of_metrics(TTFT, PREFILL),
        Column("itl_p50_ns", "ITL p50", partial(_percentile, 0.50)),
        Column("itl_p99_ns", "p99", partial(_percentile, 0.99)),
        *of_metrics(LOAD, PEAK_RSS, SIZE),
        Column("mbu", "MBU", _mbu, needs=(Need.OWN_PROCESS,)),
        Column("bytes_per_token", "read/token", _bytes_per_token, needs=(Need.OWN_PROCESS,)),
        *GUESSES,
        KLD,
        TOP1,
        Column("perplexity", "PPL", _perplexity, needs=_QUALITY),
        Column("reference", "reference", _reference, left=True, needs=_QUALITY),
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


def tellable(columns: Sequence[Column], comparison: Comparison, methods: Collection[str]) -> tuple[Column, ...]:
    """Return the columns in which one of some methods may have a value by what they need, measured already or not."""

    def possible(column: Column) -> bool:
        nobody = bool(methods) and all(any(lacks(name, need) for need in column.needs) for name in methods)
        return not nobody and all(comparison.has(need) for need in column.needs)

    return tuple(filter(possible, columns))


def filled(columns: Sequence[Column], comparison: Comparison, rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns that have a value in some row."""
    possible = tellable(columns, comparison, {row.method for row in rows})
    return tuple(column for column in possible if any(column.cell(comparison, row) != fmt.MISSING for row in rows))


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
