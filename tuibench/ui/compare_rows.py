"""A comparison as a table that fits, as bars and as lines of text. Pure: no widget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content

from tuibench.core import format as fmt
from tuibench.core.columns import Column as Field
from tuibench.core.columns import comparison_columns, filled, varying
from tuibench.core.comparison import REFERENCE, Comparison, Row
from tuibench.core.stats import Outcome
from tuibench.core.verdict import method_sentence, recommend
from tuibench.ui import ladder_rows
from tuibench.ui.columns import Cell, Column, fit, heading, line

SORTS: Mapping[str, str] = {
    "": "as measured",
    "decode_tps": "decode",
    "ttft_ns": "TTFT",
    "peak_rss_bytes": "peak RSS",
    "kld": "KLD",
}
"""Column ids and what sorting by them is called."""

_FIRST = (
    "method", "decode_tps", "baseline", "first", "kld", "session", "peak_rss_bytes", "step", "ttft_ns", "top1", "text",
)  # fmt: skip
"""What a narrow table keeps, the most important first; all others come after these."""


def key(row: Row) -> str:
    """Return what tells a row from the others."""
    return f"{row.run}:{row.method}"


def name(comparison: Comparison, row: Row) -> str:
    """Return a row's name: its method, and its session where there are several."""
    method = fmt.printable(row.method)
    return method if len(comparison.runs) == 1 else f"{method} · {fmt.printable_line(comparison.runs[row.run].label)}"


def arranged(comparison: Comparison, *, by: str, holding: Iterable[str] = ()) -> list[Row]:
    """Return the rows that hold all words, the best first; rows without the figure come last."""
    words = [word.casefold() for word in holding]
    rows = [
        row
        for row in comparison.rows
        if all(word in f"{row.method} {comparison.runs[row.run].label}".casefold() for word in words)
    ]
    if not by:
        return rows
    descending = by == "decode_tps"

    def rank(row: Row) -> tuple[bool, float]:
        value = divergence(row) if by == "kld" else _median(row, by)
        return value is None, 0.0 if value is None else -value if descending else value

    return sorted(rows, key=rank)


def divergence(row: Row) -> float | None:
    """Return the mean KL divergence; the reference's is 0 wherever others were scored."""
    return 0.0 if row.method == REFERENCE and row.n_trials else row.kld


def _median(row: Row, metric_id: str) -> float | None:
    found = row.metrics.get(metric_id)
    return found.median if found else None


@dataclass(frozen=True, slots=True)
class Table:
    """Heading, keys and lines."""

    heading: Content
    keys: tuple[str, ...]
    lines: tuple[Content, ...]


def table(comparison: Comparison, rows: Sequence[Row], width: int, accents: Mapping[str, str], sorted_by: str) -> Table:
    """Return the rows as a table of a width; columns that say the same everywhere are left out."""
    fields = varying(filled(comparison_columns(comparison), comparison, rows), comparison, rows)
    columns = tuple(_column(field, comparison, rows) for field in fields)
    lamp = Column("lamp", " ", 1, 900)
    columns = (*columns, lamp)
    widths = fit(columns, width)
    lines = []
    for row in rows:
        cells: dict[str, Cell] = {field.id: _cell(field, comparison, row, widths, accents) for field in fields}
        cells["lamp"] = ladder_rows.lamp(row)
        lines.append(line(columns, widths, cells))
    return Table(heading(columns, widths, sorted_by, " ▾"), tuple(map(key, rows)), tuple(lines))


def _column(field: Field, comparison: Comparison, rows: Sequence[Row]) -> Column:
    importance = 800 - 10 * _FIRST.index(field.id) if field.id in _FIRST else 100
    long = max((len(field.cell(comparison, row)) for row in rows), default=0)
    label = len(field.heading) + 2
    if field.short is None:
        return Column(field.id, field.heading, max(long, label), importance, left=field.left)
    short = max((len(field.short(comparison, row)) for row in rows), default=0)
    width = max(short, label)
    wide, wide_importance = (long, importance - 400) if long > width else (0, 0)
    return Column(field.id, field.heading, width, importance, wide, wide_importance, field.left)


def _cell(
    field: Field, comparison: Comparison, row: Row, widths: Mapping[str, int], accents: Mapping[str, str]
) -> Cell:
    text = field.cell(comparison, row)
    if field.short is not None and len(text) > widths.get(field.id, 0):
        text = field.short(comparison, row)
    if text == fmt.MISSING:
        return text, "$muted"
    if field.id == "method":
        return text, accents[row.method]
    if field.id == "pareto":
        return text, "$accent"
    ratio = {
        "baseline": row.against_baseline.ratio if row.against_baseline else None,
        "step": row.step.ratio if row.step else None,
        "first": row.against_first,
    }.get(field.id)
    if ratio is not None:
        return text, {Outcome.GREATER: "$success", Outcome.LESS: "$error"}.get(ratio.outcome, "")
    return text


def verdict(comparison: Comparison, pointed: Row | None) -> Content:
    """Return what to take, what the row pointed at amounts to, and then all that may be cut off."""
    own = pointed.run if pointed is not None else 0
    first, *others = sorted(range(len(comparison.runs)), key=lambda number: number != own)
    advice, more = _advice(comparison, first)
    parts = [advice]
    if pointed is not None:
        parts.append(Content(method_sentence(comparison, pointed)))
        parts += [Content.styled(f"▲ {fmt.printable(flag)}", "$warning") for flag in pointed.flags[:2]]
    parts += [more] if more else []
    parts += [_advice(comparison, number)[0] for number in others]
    return Content("\n").join(parts)


def _advice(comparison: Comparison, run: int) -> tuple[Content, Content | None]:
    """Return which method of a run to take, and the methods that no other is better than, if there are several."""
    label = f"{fmt.printable_line(comparison.runs[run].label)}: " if len(comparison.runs) > 1 else ""
    sentence, part, rest = recommend(comparison, run).sentence.partition("; Pareto set: ")
    more = Content.styled(f"{part.removeprefix('; ')}{rest}", "$muted") if part else None
    return Content.assemble((label, "$muted"), (sentence, "bold")), more


def bars(comparison: Comparison, rows: Sequence[Row], width: int, accents: Mapping[str, str]) -> list[Content]:
    """Return each row's speed against the baseline as a bar that ends in its interval."""
    ratios = {key(row): row.against_baseline.ratio for row in rows if row.against_baseline is not None and row.n_trials}
    names = {key(row): name(comparison, row) for row in rows}
    label = min(max(map(len, names.values()), default=0), max(4, width // 3))
    largest = max((ratio.high or ratio.value for ratio in ratios.values()), default=1.0)
    largest = max(largest, 1.0)
    room = max(1, width - label - 9)
    lines = []
    for row in rows:
        ratio = ratios.get(key(row))
        text = names[key(row)]
        text = text[: label - 1] + "…" if len(text) > label else text.ljust(label)
        parts: list[Cell] = [(text, accents[row.method]), " "]
        if ratio is not None:
            drawn = _bar(ratio.value, ratio.low, ratio.high, largest, room)
            parts += [(f"{fmt.times(ratio.value):>7} ", ""), (drawn, accents[row.method])]
        elif row.method == comparison.baseline and row.n_trials:
            parts += [(f"{'1×':>7} ", "$muted"), (_bar(1.0, None, None, largest, room), "$line")]
        else:
            parts.append((f"{fmt.MISSING:>7}", "$muted"))
        lines.append(Content.assemble(*parts))
    return lines


def _bar(value: float, low: float | None, high: float | None, largest: float, room: int) -> str:
    """Return `██████├─┤`: whole up to the interval, which is drawn as far as it goes."""

    def cell(at: float) -> int:
        return min(room, max(0, round(at / largest * room)))

    if low is None or high is None:
        return "█" * max(1, cell(value))
    start, end = cell(low), cell(high)
    if end - start < 2:  # noqa: PLR2004 - the interval's two ends
        return "█" * max(1, cell(value))
    return "█" * start + "├" + "─" * (end - start - 2) + "┤"
