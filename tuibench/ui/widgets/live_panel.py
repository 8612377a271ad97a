"""One method while it is measured or replayed: speed, progress, text."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.getters import query_one
from textual.reactive import var
from textual.widgets import Static

from tuibench.core import format as fmt
from tuibench.core.run.spec import Method
from tuibench.core.run.state import MethodState, MethodStatus, RunState
from tuibench.ui.look.series import SeriesMap, series_classes
from tuibench.ui.text import describe, memory_fit
from tuibench.ui.text.describe import Stream
from tuibench.ui.text.subtitle import write_subtitle
from tuibench.ui.widgets.progress_line import ProgressLine
from tuibench.ui.widgets.stat_tile import StatTile
from tuibench.ui.widgets.stream_text import StreamText

if TYPE_CHECKING:
    from tuibench.models.memory_needs import Fit

_STYLED = (MethodStatus.RUNNING, MethodStatus.WAITING)
"""The states that the style sheet tells apart."""


class LivePanel(Container):
    """Bound to the run of its screen; draws only what changed in the method that it shows."""

    run: var[RunState] = var(RunState, init=False)

    decode = query_one("#decode", StatTile)
    ttft = query_one("#ttft", StatTile)
    line = query_one(ProgressLine)
    text = query_one(StreamText)

    def __init__(
        self,
        series: SeriesMap,
        method_id: str | None = None,
        *,
        id: str | None = None,  # noqa: A002 - as Textual does
    ) -> None:
        super().__init__(id=id)
        self.method_id = method_id
        self.known: Mapping[str, Method] = {}
        """What is installed here, by id."""
        self._fits: Mapping[str, Fit] = {}
        self._series = series
        self._shown: tuple[object, ...] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the parts."""
        with Horizontal(classes="tiles"):
            yield StatTile("decode", "tok/s", id="decode")
            yield StatTile("TTFT", "ms", id="ttft")
        yield Static(id="figures", markup=False)
        yield ProgressLine()
        yield StreamText()

    def on_mount(self) -> None:
        """Show the state of the run that is there already."""
        self._show()

    def show_method(self, method_id: str | None, known: Mapping[str, Method]) -> None:
        """Show another method."""
        if method_id != self.method_id or known != self.known:
            self.method_id, self.known = method_id, known
            self.show_anew()

    def tell_fits(self, fits: Mapping[str, Fit]) -> None:
        """Say what methods take of memory, as far as that is known."""
        if fits != self._fits:
            self._fits = fits
            self.show_anew()

    def on_resize(self) -> None:
        """Cut the lines of users to another width: at the first layout the text has none yet."""
        if self.text.note is not None:
            self.call_after_refresh(self.show_anew)

    def watch_run(self) -> None:
        """Draw the new state unless it is another method's news."""
        if self.is_mounted:
            self._show()

    def show_anew(self) -> None:
        """Show everything anew, though nothing is new in the run: the method or its colour is."""
        self._shown = None
        if self.is_mounted:
            self._show()

    def _show(self) -> None:
        method = self.run.methods.get(self.method_id or "")
        reference = describe.text_reference(self.run)
        news = (method, reference, self.run.notices)
        if self._shown is not None and all(map(is_, news, self._shown)):
            return
        self._shown = news
        self._apply_style(method.status if method else MethodStatus.WAITING)
        users = describe.user_lines(method, self.text.scrollable_content_region.width)
        stream = describe.stream_of(method) if method and not users else None
        note = Content("\n".join(users)) if users else self._note_for(method, has_stream=stream is not None)
        self.text.show_note(note)
        self._show_figures(method)
        held_against = None if reference is method or reference is None else describe.stream_of(reference)
        differs_at = describe.first_difference(stream, held_against)
        self.text.show(stream, differs_at=differs_at)
        write_subtitle(self, self._difference(reference, stream, held_against, differs_at))

    def _apply_style(self, status: MethodStatus) -> None:
        """Show the method's name and colours: all at once, each change styles everything in the panel anew."""
        name = self.method_id
        classes = series_classes(None if name is None else self._series.number(name))
        classes |= {f"-{each.value}": each is status for each in _STYLED}
        self.update_classes(classes, animate=False)
        if self.border_title != fmt.printable(name or ""):
            self.border_title = fmt.printable(name or "")

    def _show_figures(self, method: MethodState | None) -> None:
        decode = fmt.rate(describe.decode_tps(method) if method else None)
        ttft = fmt.duration(describe.ttft_ns(method) if method else None)
        self.decode.value, self.ttft.value = decode, ttft
        figures = Content.assemble((decode, "bold"), ("   TTFT ", "$muted"), ttft) if method else Content()
        self.query_one("#figures", Static).update(figures, layout=False)
        if method is None:
            self.line.state = ("not measured yet", 0, None, None)
        else:
            self.line.state = (describe.phase_label(method), *describe.progress(method), describe.eta_s(method))

    def _difference(
        self,
        reference: MethodState | None,
        stream: Stream | None,
        held_against: Stream | None,
        differs_at: int | None,
    ) -> str:
        about = self.known.get(self.method_id or "")
        if reference is None or stream is None or held_against is None:
            return about.precision if about else ""
        if not stream.n or not held_against.n:  # nothing agrees yet
            return about.precision if about else ""
        if differs_at is not None:
            unit = "token" if stream.ids else "piece"
            return f"differs from {fmt.printable(reference.method)} at {unit} {differs_at + 1}"
        return f"same text as {fmt.printable(reference.method)}"

    def _note_for(self, method: MethodState | None, *, has_stream: bool) -> Content | None:
        """Return what to say where there is no text to show."""
        about = self.known.get(self.method_id or "")
        explanation = Content.styled(about.explanation if about else "", "$muted")
        if method is None:
            fit = self._fits.get(self.method_id or "")
            told = None if fit is None else Content.styled(memory_fit.in_words(fit), "$muted")
            return explanation if told is None else Content("\n\n").join((explanation, told))
        failure = method.failure
        if failure is not None and method.status is MethodStatus.FAILED:
            return Content.styled(f"{describe.failure_text(failure)}\n\npress d for details", "$error")
        if method.status in (MethodStatus.SKIPPED, MethodStatus.STOPPED) and not has_stream:
            return Content.styled(f"{method.status.value} before it was measured", "$muted")
        if has_stream:
            return None
        if self.run.running and self.run.current is None and self.run.notices:  # why nothing happens
            waits = Content.styled(fmt.printable(self.run.notices[-1]), "$warning")
            return Content("\n\n").join((waits, explanation))
        return explanation
