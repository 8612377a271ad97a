"""One row per method: where it stands, its medians, its speed-up. Written when trials end, never per token."""

from __future__ import annotations

from rich.text import Text
from textual.reactive import var
from textual.widgets import DataTable

from tuibench.core import format as fmt
from tuibench.core.metrics import DECODE, LOAD, PEAK_RSS, PREFILL, SIZE, TTFT, Metric, speedup, summarise
from tuibench.core.state import MethodState, MethodStatus, RunState
from tuibench.ui import describe
from tuibench.ui.messages import MethodPointed
from tuibench.ui.series import SeriesMap

# The first columns are those that a terminal of 80 columns shows; the others are reached by scrolling.
_SPEEDUP = "speed-up"
_COLUMNS: tuple[tuple[str, Metric | None, int], ...] = (
    ("decode", DECODE, 11),
    (_SPEEDUP, None, 8),
    ("TTFT", TTFT, 9),
    ("peak RSS", PEAK_RSS, 9),
    ("prefill", PREFILL, 11),
    ("load", LOAD, 8),
    ("size", SIZE, 9),
)


class ResultsTable(DataTable[Text]):
    """Bound to the run of its screen."""

    run: var[RunState] = var(RunState, init=False)

    def __init__(self, series: SeriesMap) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False, cursor_foreground_priority="renderable")
        self._series = series
        self._shown: tuple[object, ...] | None = None

    def on_mount(self) -> None:
        """Set up the columns, and again whenever the theme, and so the methods' colours, change."""
        self.border_title = "Results"
        self.add_column(Text("method"), key="method", width=14)
        self.add_column(Text("state"), key="state", width=13)
        for label, _, width in _COLUMNS:
            self.add_column(Text(label, justify="right"), key=label, width=width)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._rewrite())
        self._rewrite()

    def watch_run(self) -> None:
        """Write the rows if a trial began or ended; a DataTable repaints whole, about 20 ms on a small machine."""
        if self.is_mounted and _signature(self.run) != self._shown:
            self._rewrite()

    def _rewrite(self) -> None:
        self._shown = _signature(self.run)
        if set(self.run.methods) != {key.value for key in self.rows}:
            self.clear()
            for method_id in self.run.methods:
                self.add_row(*[Text()] * (2 + len(_COLUMNS)), key=method_id)
        reference = describe.reference_of(self.run)
        for method_id, method in self.run.methods.items():
            for column, text in self._cells(method, reference).items():
                self.update_cell(method_id, column, text)

    def _cells(self, method: MethodState, reference: MethodState | None) -> dict[str, Text]:
        colours = self.app.theme_variables
        accent = colours[f"series-{self._series.number(method.method)}"]
        mark = describe.MARKS[method.status]
        cells = {
            "method": Text(f"{mark} {fmt.printable(method.method)}", style=accent),
            "state": Text(
                _state_text(method), style=colours["error" if method.status is MethodStatus.FAILED else "muted"]
            ),
        }
        for label, metric, _ in _COLUMNS:
            if metric is not None:
                text = fmt.summary(metric, summarise(metric, method.measured))
            elif reference is method:
                text = fmt.ratio(1.0) if method.measured else fmt.MISSING
            else:
                text = fmt.ratio(speedup(method.measured, reference.measured) if reference else None)
            style = colours["muted"] if text == fmt.MISSING else ""
            cells[label] = Text(text, style=style, justify="right")
        return cells

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Tell which method the cursor is on, if it was the user who moved it there."""
        if self.has_focus and event.row_key.value is not None:
            self.post_message(MethodPointed(event.row_key.value))

    @property
    def pointed(self) -> str | None:
        """The method under the cursor."""
        if not self.row_count:
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    def point(self, method_id: str) -> None:
        """Move the cursor to a method."""
        if method_id in self.run.methods:
            self.move_cursor(row=self.get_row_index(method_id))


def _state_text(method: MethodState) -> str:
    failure = method.failure
    if method.status is MethodStatus.FAILED and failure is not None and failure.failure_kind is not None:
        return failure.failure_kind.value
    if method.status in (MethodStatus.SKIPPED, MethodStatus.STOPPED):
        return f"{method.status.value} {len(method.measured)}/{method.n_planned}"
    if method.status is MethodStatus.WAITING and not method.n_done:
        return "waiting"
    return f"{method.n_done}/{method.n_planned} trials"


def _signature(run: RunState) -> tuple[object, ...]:
    return tuple((name, method.status, len(method.records)) for name, method in run.methods.items())
