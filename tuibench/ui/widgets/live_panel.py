"""One method while it is measured or replayed: speed, progress, text, latency."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.getters import query_one
from textual.reactive import var
from textual.widgets import Static

from tuibench.core import format as fmt
from tuibench.core.spec import Method
from tuibench.core.state import MethodState, MethodStatus, RunState
from tuibench.ui import describe
from tuibench.ui.widgets.latency_plot import LatencyPlot
from tuibench.ui.widgets.progress_line import ProgressLine
from tuibench.ui.widgets.stat_tile import StatTile
from tuibench.ui.widgets.stream_text import StreamText

_STATUS_CLASSES = tuple(f"-{status.value}" for status in MethodStatus)


class LivePanel(Container):
    """Bound to the run of its screen; draws only what changed in its own method."""

    run: var[RunState] = var(RunState, init=False)

    decode = query_one("#decode", StatTile)
    ttft = query_one("#ttft", StatTile)
    line = query_one(ProgressLine)
    text = query_one(StreamText)
    plot = query_one(LatencyPlot)
    note = query_one("#note", Static)

    def __init__(self, method_id: str, method: Method | None, series: int) -> None:
        super().__init__(classes=f"series-{series}")
        self.method_id = method_id
        self._method = method
        self._shown: MethodState | None = None
        self.border_title = fmt.printable(method_id)

    def compose(self) -> ComposeResult:
        """Lay out the parts."""
        with Horizontal(classes="tiles"):
            decode = StatTile("decode", "tok/s")
            decode.id = "decode"
            yield decode
            ttft = StatTile("TTFT", "ms")
            ttft.id = "ttft"
            yield ttft
        yield ProgressLine()
        with Container(classes="output"):
            yield StreamText()
            yield LatencyPlot()
        yield Static(id="note", markup=False)

    def on_mount(self) -> None:
        """Show the state of the run that is there already."""
        self.border_subtitle = self._method.precision if self._method else ""
        self._show(self.run.methods.get(self.method_id))

    def watch_run(self, run: RunState) -> None:
        """Draw the new state unless it is another method's news."""
        if self.is_mounted:
            method = run.methods.get(self.method_id)
            if method is not self._shown or method is None:
                self._show(method)

    def _show(self, method: MethodState | None) -> None:
        self._shown = method
        status = method.status if method else MethodStatus.WAITING
        for name in _STATUS_CLASSES:
            self.set_class(name == f"-{status.value}", name)
        stream = describe.stream_of(method) if method else None
        note = self._note_for(method, has_stream=stream is not None)
        self.set_class(note is not None, "-note")
        if note is not None:
            self.note.update(note)
        self.decode.value = fmt.rate(describe.decode_tps(method) if method else None)
        self.ttft.value = fmt.duration(describe.ttft_ns(method) if method else None)
        if method is None:
            self.line.state = ("not measured yet", 0, None, None)
        else:
            self.line.state = (describe.phase_label(method), *describe.progress(method), describe.eta_s(method))
        self.text.show(stream)
        self.plot.show(stream)

    def _note_for(self, method: MethodState | None, *, has_stream: bool) -> str | None:
        """Return what to say where there is no text to show."""
        if method is None:
            return self._method.explanation if self._method else ""
        failure = method.failure
        if failure is not None and method.status is MethodStatus.FAILED:
            return f"{describe.failure_text(failure)}\n\npress d for details"
        if method.status in (MethodStatus.SKIPPED, MethodStatus.STOPPED) and not has_stream:
            return f"{method.status.value} before it was measured"
        if not has_stream:
            return self._method.explanation if self._method else ""
        return None
