"""The ladder in words and numbers: one row for each method, for any width. Pure: no widget."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual.content import Content

from tuibench.core import format as fmt
from tuibench.core.machine.validity import Lamp
from tuibench.core.present.columns import KLD, LADDER, TOP1, tellable
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import ACCEPTANCE, DECODE, PEAK_RSS, SIZE, TOKENS_PER_STEP, TTFT
from tuibench.core.results.recommendation import MAX_KLD
from tuibench.core.results.row import REFERENCE, Row, Speedup
from tuibench.core.run.spec import Method
from tuibench.core.run.state import MethodState, MethodStatus
from tuibench.core.statistics.stats import Outcome, Ratio
from tuibench.ui.text import describe, memory_fit
from tuibench.ui.text.columns import Cell, TableColumn, Widths, line

if TYPE_CHECKING:
    from tuibench.models.memory_needs import Fit

_BAR = 8

COLUMNS = (
    TableColumn("method", "method", 16, 100, left=True),
    TableColumn("state", "state", 12, 90, wide=16, wide_importance=35, left=True),
    TableColumn(TTFT.id, "TTFT", 7, 50),
    TableColumn(DECODE.id, "decode", 11, 95),
    TableColumn("step", "step", 6, 70, wide=18, wide_importance=60),
    TableColumn("total", "total", 6, 80, wide=18, wide_importance=40),
    TableColumn(PEAK_RSS.id, "RSS", 8, 55),
    TableColumn(SIZE.id, "size", 8, 30),
    TableColumn(ACCEPTANCE.id, "accepted", 8, 28),
    TableColumn(TOKENS_PER_STEP.id, "tokens/step", 11, 27),
    TableColumn(KLD.id, "KLD", 6, 75, wide=15, wide_importance=25),
    TableColumn(TOP1.id, "top-1", 7, 45),
    TableColumn("lamp", " ", 1, 85),
)
"""Each under the id of what it shows, which declares what it needs; state and lamp are of this table only."""
LAMPS: dict[Lamp, Cell] = {
    Lamp.GREEN: ("●", "$success"),
    Lamp.YELLOW: ("▲", "$warning"),
    Lamp.RED: ("!", "$error"),
}
_LEGEND = {"●": "clean", "▲": "doubtful", "!": "disturbed", "≠": "not the same model", "·": "not watched"}
_TOO_FEW = "too few trials"
_INSTALLED_BY = ": `tuibench runtimes add "
"""What follows the reason where a runtime is missing."""
_BEFORE_NAME = 4
"""Cells for the box and the mark."""
_NAME_IMPORTANCE = 93
"""A name is cut only for a speed."""


def columns(names: Iterable[str]) -> tuple[TableColumn, ...]:
    """Return the columns with room for the longest of some names."""
    first, *others = COLUMNS
    longest = _BEFORE_NAME + max(map(len, names), default=0)
    if longest > first.width:
        first = replace(first, wide=longest, wide_importance=_NAME_IMPORTANCE, longest=longest)
    return (first, *others)


def legend(compared: Iterable[Row]) -> Content:
    """Return what the signs mean that stand in some rows."""
    rows = list(compared)
    seen = dict(cell for row in rows if not isinstance(cell := lamp(row), str))
    parts: list[Content] = [
        Content.assemble((sign, seen[sign]), f" {meaning}") for sign, meaning in _LEGEND.items() if sign in seen
    ]
    if any(row.step is not None and row.step.ratio.outcome is Outcome.UNKNOWN for row in rows):
        parts.append(Content(f"? {_TOO_FEW}"))
    return Content("  ").join(parts)


@dataclass(frozen=True, slots=True)
class Rung:
    """What a row is made of."""

    method_id: str
    about: Method | None
    chosen: bool | None
    """Whether it takes part in the next run; None where nothing can be chosen."""
    state: MethodState | None
    compared: Row | None
    """What the finished trials amount to; None before there is any."""
    accent: str
    letter: str = ""
    """What tells it from the others where colours do not."""
    fit: Fit | None = None
    """Whether it fits into memory; None where nobody knows, or it was measured already."""


def row(rung: Rung, widths: Widths, width: int) -> Content:
    """Return a rung as a line; nothing where not even names fit.

    Args:
        rung: What to tell of.
        widths: The columns that are shown.
        width: Cells of the line, of which columns may leave some over: a note goes on into them.
    """
    if "method" not in widths:
        return Content()
    state = rung.state
    if state is None:
        problem = bool(rung.about and rung.about.problem)
        warning = "" if problem else memory_fit.mark(rung.fit)
        return _spanning(rung, widths, width, "", _about(rung), "$warning" if problem else "$muted", warning)
    failure = state.failure
    if state.status is MethodStatus.FAILED and failure is not None:
        kind = failure.failure_kind.value if failure.failure_kind else "failed"
        reason = fmt.printable(failure.failure_message or "no reason given").partition("\n")[0]
        return _spanning(rung, widths, width, kind, f"{reason} – d: details", "$error")
    if not state.measured and not state.running:
        note = rung.about.explanation if rung.about and state.status is MethodStatus.WAITING else ""
        return _spanning(rung, widths, width, state_text(state, widths.get("state", 0)), note, "$muted")
    return line(COLUMNS, widths, _figures(rung, state, widths))


def _about(rung: Rung) -> str:
    """Return what a method is, or why it cannot be used; what a command would mend is a key's work here."""
    if rung.about is None:
        return ""
    why, command, _ = (rung.about.problem or "").partition(_INSTALLED_BY)
    if command and rung.chosen is not None:
        return f"{why.partition(' is ')[2]} – press space"
    return rung.about.explanation


def _spanning(rung: Rung, widths: Widths, width: int, state: str, note: str, style: str, warning: Cell = "") -> Content:
    """Return a row without figures: a note, and a warning before it, stand in their place."""
    names: tuple[str, ...] = ("method", "state")
    cells: dict[str, Cell] = {"method": _name(rung), "state": (state, style)}
    if not state:
        names = ("method",)  # nothing to say about a state: the note begins in its column
    head = line(COLUMNS, {name: widths[name] for name in names if name in widths}, cells)
    room = width - head.cell_length - 2
    if warning:
        note, room = f" · {note}", room - len(warning[0])
    return Content.assemble(head, "  ", warning, (_cut(fmt.printable(note), room), style))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def _name(rung: Rung) -> Cell:
    mark = describe.MARKS[rung.state.status] if rung.state else " "
    box = "" if rung.chosen is None else "■ " if rung.chosen else "□ "
    dim = rung.chosen is False and rung.state is None
    letter = f"{rung.letter} " if rung.letter else ""
    return f"{box}{mark} {letter}{fmt.printable(rung.method_id)}", "$muted" if dim else rung.accent


def _figures(rung: Rung, state: MethodState, widths: Widths) -> dict[str, Cell]:
    compared = rung.compared
    return {
        "method": _name(rung),
        "state": (state_text(state, widths.get("state", 0)), "" if state.running else "$muted"),
        TTFT.id: number(fmt.duration(describe.ttft_ns(state))),
        DECODE.id: number(fmt.rate(describe.decode_tps(state))),
        "step": gain(compared.step if compared else None, widths.get("step", 0)),
        "total": gain(compared.total if compared else None, widths.get("total", 0)),
        **{
            metric.id: number(fmt.metric(metric, compared.median(metric) if compared else None))
            for metric in (PEAK_RSS, SIZE, ACCEPTANCE, TOKENS_PER_STEP)
        },
        KLD.id: divergence(compared, widths.get(KLD.id, 0)),
        TOP1.id: number(fmt.share(compared.quality.top1 if compared and compared.quality else None)),
        "lamp": lamp(compared),
    }


def number(text: str) -> Cell:
    """Return a figure, in grey where there is none."""
    return (text, "$muted") if text == fmt.MISSING else text


def gain(against: Speedup | None, width: int) -> Cell:
    """Return a speed-up, with its interval where there is room; coloured where the interval excludes no change."""
    return ratio(against.ratio if against else None, width)


def ratio(found: Ratio | None, width: int) -> Cell:
    """Return a ratio as `gain` does."""
    if found is None:
        return fmt.MISSING, "$muted"
    whole = fmt.gain(found)
    short = f"{fmt.times(found.value)}{'?' if found.outcome is Outcome.UNKNOWN else ''}"
    text = whole if len(whole) <= width else short if len(short) <= width else fmt.times(found.value)
    return text, {Outcome.GREATER: "$success", Outcome.LESS: "$error"}.get(found.outcome, "")


def divergence(compared: Row | None, width: int) -> Cell:
    """Return how far a method is from the reference, with the standard error where there is room."""
    if compared is None or compared.kld is None:
        return ("ref", "$muted") if compared and compared.method == REFERENCE else (fmt.MISSING, "$muted")
    error = compared.quality.kld_mean_se if compared.quality else None
    whole = fmt.divergence(compared.kld, error)
    text = whole if len(whole) <= width else fmt.divergence(compared.kld)
    return text, "$warning" if compared.kld > MAX_KLD else ""


def lamp(compared: Row | None) -> Cell:
    """Return whether the figures can be trusted: the shape says it, too."""
    if compared is None or not compared.n_trials:
        return ""
    if compared.not_same_model:
        return "≠", "$error"
    if compared.lamp is None:
        return ("▲", "$warning") if compared.flags else ("·", "$muted")
    return LAMPS[compared.lamp]


def state_text(state: MethodState, width: int) -> str:
    """Return where a method stands: `2/5 ━━━━──── 9s` while it runs."""
    if state.running and state.trial is not None:
        if state.scoring:
            which = "KLD"
        else:
            which = "warm" if state.trial.warmup else f"{state.trial.index + 1}/{state.n_planned}"
        done, total = describe.progress(state)
        if not total:
            return f"{which} {describe.phase_word(state)}"
        left_s = describe.eta_s(state)
        eta = "" if left_s is None else f" {left_s:.0f}s"
        n_bar = max(0, min(_BAR, width - len(which) - 1 - len(eta)))
        filled = round(n_bar * min(done, total) / total)
        return f"{which} {'━' * filled}{'─' * (n_bar - filled)}{eta}"
    if state.status in (MethodStatus.SKIPPED, MethodStatus.STOPPED):
        return f"{state.status.value} {len(state.measured)}/{state.n_planned}"
    if state.status is MethodStatus.WAITING and not state.n_done:
        return "waiting"
    return f"{len(state.measured)}/{state.n_planned}"


def hidden_columns(comparison: Comparison, methods: Collection[str]) -> set[str]:
    """Return the columns in which none of the methods may have anything, by what the result's table needs for them."""
    return {column.id for column in LADDER} - {column.id for column in tellable(LADDER, comparison, methods)}
