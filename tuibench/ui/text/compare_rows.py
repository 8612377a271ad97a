"""A comparison as a table that fits and as lines of text. Pure: no widget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content

from tuibench.core import format as fmt
from tuibench.core.present.columns import Column, comparison_columns, filled, varying
from tuibench.core.present.method_sentence import method_sentence
from tuibench.core.present.run_labels import run_names
from tuibench.core.results.changes import CAVEAT, changes
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.evidence import Grade
from tuibench.core.results.host_verdict import CANNOT_TELL, host_lines
from tuibench.core.results.metrics import GOODPUT, TOTAL_DECODE
from tuibench.core.results.peers import HEADING
from tuibench.core.results.recommendation import Recommendation
from tuibench.core.results.row import REFERENCE, Row
from tuibench.core.results.search import answered
from tuibench.core.results.sweep import sweep_runs
from tuibench.core.results.verdict import recommend
from tuibench.core.statistics.stats import Outcome
from tuibench.ui.text import ladder_rows
from tuibench.ui.text.columns import Cell, TableColumn, fit, heading, line
from tuibench.ui.text.row_names import SESSION_CELLS, RowNames, cut, joined, key

SORTS: Mapping[str, str] = {
    "": "as measured",
    "decode_tps": "decode",
    "ttft_ns": "TTFT",
    "peak_rss_bytes": "peak RSS",
    "kld": "KLD",
}
"""Column ids and what sorting by them is called."""

_FIRST = (
    "method", "session", "decode_tps", "yardstick", "first", TOTAL_DECODE.id, "kld", "peak_rss_bytes", "step",
    "ttft_ns", GOODPUT.id, "top1", "text",
)  # fmt: skip
"""What a narrow table keeps, the most important first; all others come after these."""
_INTERVALS = ("yardstick", "first")
"""Columns whose intervals come before whatever is less important than memory: they say what a gain is worth."""
_LABELS = {"first": "× first"}
"""Headings in fewer cells than elsewhere."""
_OF_SHAPE = ("prompt", "depth", "threads", "tokens")
"""Facts that the name of a part of a sweep says already."""
_METHOD = 24
"""Cells for the name of a method where there is no room for the whole of it."""
_PEERS = "–"
"""The key of the heading above runtimes and servers of others; a row's has a colon."""
_OUTCOME_STYLES = {Outcome.GREATER: "$success", Outcome.LESS: "$error"}


def arranged(comparison: Comparison, *, by: str, holding: Iterable[str] = ()) -> list[Row]:
    """Return the rows that hold all words, the best first; rows without the figure come last.

    Shapes that a stopped session did not come to are left out.
    """
    tried = set(comparison.tried(range(len(comparison.runs))))
    words = [word.casefold() for word in holding]
    rows = [
        row
        for row in comparison.rows
        if row.run in tried
        and all(word in f"{row.method} {comparison.runs[row.run].label}".casefold() for word in words)
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

    def with_peers_apart(self, n_ours: int) -> Table:
        """Return it with a heading of its own, which is no row of a method, above the rows behind the first ones."""
        if not 0 < n_ours < len(self.keys):
            return self
        above = Content.styled(HEADING, "$muted")
        return Table(
            self.heading,
            (*self.keys[:n_ours], _PEERS, *self.keys[n_ours:]),
            (*self.lines[:n_ours], above, *self.lines[n_ours:]),
        )


def table(comparison: Comparison, rows: Sequence[Row], width: int, accents: Mapping[str, str], sorted_by: str) -> Table:
    """Return the rows as a table of a width; columns that say the same everywhere are left out."""
    fields = varying(filled(comparison_columns(comparison), comparison, rows), comparison, rows)
    names = RowNames(comparison, rows)
    own, brief = lambda _, row: names.own(row), lambda _, row: names.brief(row)
    named = Column("session", names.runs.kind, own, brief, left=True)
    said = _OF_SHAPE if all(run.shape for run in comparison.runs) else ()
    fields = tuple(named if field.id == "session" else field for field in fields if field.id not in said)
    columns = tuple(_column(field, comparison, rows) for field in fields)
    lamp = TableColumn("lamp", " ", 1, 900)
    columns = (*columns, lamp)
    widths = fit(columns, width)
    lines = []
    for row in rows:
        cells: dict[str, Cell] = {field.id: _cell(field, comparison, row, widths, accents) for field in fields}
        cells["lamp"] = ladder_rows.lamp(row)
        lines.append(line(columns, widths, cells))
    return Table(heading(columns, widths, sorted_by, " ▾"), tuple(map(key, rows)), tuple(lines))


def _column(field: Column, comparison: Comparison, rows: Sequence[Row]) -> TableColumn:
    importance = 800 - 10 * _FIRST.index(field.id) if field.id in _FIRST else 100
    long = max((len(field.cell(comparison, row)) for row in rows), default=0)
    title = _LABELS.get(field.id, field.heading)
    label = len(title) + (2 if field.id in SORTS else 0)
    if field.id == "session":
        long = max(long, len(title))
        wide, wide_importance = (long, importance - 400) if long > SESSION_CELLS else (0, 0)
        return TableColumn(
            field.id, title, min(long, SESSION_CELLS), importance, wide, wide_importance, longest=long, left=True
        )
    if field.id == "method" and long > _METHOD:
        return TableColumn(field.id, title, _METHOD, importance, long, importance - 25, longest=long, left=True)
    if field.short is None:
        return TableColumn(field.id, title, max(long, label), importance, left=field.left)
    short = max((len(field.short(comparison, row)) for row in rows), default=0)
    width = max(short, label)
    early = 800 - 10 * _FIRST.index("peak_rss_bytes") - 5
    wide, wide_importance = (long, early if field.id in _INTERVALS else importance - 400) if long > width else (0, 0)
    return TableColumn(field.id, title, width, importance, wide, wide_importance, left=field.left)


def _cell(
    field: Column, comparison: Comparison, row: Row, widths: Mapping[str, int], accents: Mapping[str, str]
) -> Cell:
    text = field.cell(comparison, row)
    if field.short is not None and len(text) > widths.get(field.id, 0):
        text = field.short(comparison, row)
    if text == fmt.MISSING:
        return text, "$muted"
    if field.id == "session":
        return cut(text, widths.get(field.id, 0)), ""
    if field.id == "method":
        return text, accents[row.method]
    if field.id == "pareto":
        return text, "$accent"
    ratio = {
        "yardstick": row.against_yardstick.ratio if row.against_yardstick else None,
        "step": row.step.ratio if row.step else None,
        "first": row.vs_first_session,
    }.get(field.id)
    if ratio is not None:
        return text, _OUTCOME_STYLES.get(ratio.outcome, "")
    return text


def verdict(comparison: Comparison, pointed: Row | None) -> Content:
    """Return what to take, what else to know, what the row pointed at amounts to, and then all that may be cut off."""
    tried = comparison.tried(range(len(comparison.runs)))
    own = pointed.run if pointed is not None and pointed.run in tried else tried[0]
    numbers = sorted(tried, key=lambda number: number != own)
    names = run_names(comparison.runs, numbers)
    advice = {number: recommend(comparison, number) for number in numbers}
    headlines = [_headline(names.own[number], advice[number]) for number in numbers]
    if len(numbers) > _FIRST_HEADLINES and len({found.headline for found in advice.values()}) == 1:
        headlines = [_headline("everywhere" if " " in names.kind else f"every {names.kind}", advice[own])]
    machines = [] if sweep_runs(comparison) else host_lines(comparison)
    headlines = [*(_machine_headline(line) for line in machines[:_FIRST_HEADLINES]), *headlines]
    found = advice[own]
    parts = headlines[:_FIRST_HEADLINES]
    answer = answered(comparison, own)  # of a search, which has a remark for each method: here for the one pointed at
    if answer is None and found.remarks:
        parts.append(Content("; ".join(found.remarks)))
    if answer is not None and pointed is not None and (why := (answer.out or {}).get(pointed.method)):
        parts.append(Content(fmt.printable(f"{pointed.method} is not the answer: {why}")))
    if pointed is not None:
        parts.append(Content(method_sentence(comparison, pointed)))
        parts += [Content.styled(f"▲ {fmt.printable(flag)}", "$warning") for flag in pointed.flags[1:2]]
    parts += [Content.styled(fmt.printable(f"Pareto set: {', '.join(found.pareto)}"), "$muted")] if found.pareto else []
    return Content("\n").join([*parts, *headlines[_FIRST_HEADLINES:]])


def about(comparison: Comparison) -> str:
    """Return what the verdict says of none of its runs, as it is the same for all; empty for a session of one run."""
    if len(comparison.runs) == 1:
        return ""
    names = run_names(comparison.runs, comparison.tried(range(len(comparison.runs))))
    return fmt.printable_line(joined(names.session, names.shared) if names.session else names.shared)


_FIRST_HEADLINES = 2
"""So many sessions' are told before anything else."""
_GRADE_STYLES = {Grade.TAKE: "bold", Grade.CANNOT_TELL: "$warning"}


def _headline(label: str, found: Recommendation) -> Content:
    before = f"{fmt.printable_line(label)}: " if label else ""
    style = _GRADE_STYLES.get(found.grade, "") if found.grade else ""
    return Content.assemble((before, "$muted"), (found.headline, style))


def _machine_headline(line: str) -> Content:
    return Content.styled(line, "$warning" if line.startswith(CANNOT_TELL) else "bold")


def change_lines(comparison: Comparison) -> list[Content]:
    """Return what became of each method since the first run, and what the intervals do not hold."""
    lines = []
    for found in changes(comparison):
        lines.append(Content.assemble(found.title, ("   ".join(("", *found.surroundings)), "$warning")))
        for change in found.methods:
            style = "$muted" if change.outcome is None else _OUTCOME_STYLES.get(change.outcome, "")
            lines.append(Content.styled(str(change), style))
    return [*lines, Content.styled(CAVEAT, "$muted")]
