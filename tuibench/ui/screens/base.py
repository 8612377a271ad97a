"""What the screens have in common: the notice on a terminal that is too small, and the view of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.getters import query_one
from textual.reactive import var
from textual.widget import Widget

from tuibench.core import format as fmt
from tuibench.core.run.spec import Method
from tuibench.core.run.state import MethodStatus, RunState
from tuibench.ui.messages import MethodPointed, RunProgressed
from tuibench.ui.services import Context
from tuibench.ui.terminal.pacing import PacedScreen
from tuibench.ui.terminal.painting import PartialCompositor
from tuibench.ui.text import describe
from tuibench.ui.widgets.ladder import Ladder
from tuibench.ui.widgets.latency_curves import Curve, LatencyCurves
from tuibench.ui.widgets.live_panel import LivePanel

_CURVES_S = 1.0
"""Least time between two drawings of the latency: most of a snapshot's cost, and nobody sees it grow faster."""


class TooSmall(Widget):
    """Stands in for everything where nothing could be read."""

    def render(self) -> Content:
        """Say what is needed."""
        width, height = self.app.size
        return Content.assemble(
            ("terminal too small", "bold $warning"),
            f"\n{width}×{height}: 60×15 needed",
            ("\nthe run goes on", "$muted"),
        )


class DashboardScreen(PacedScreen[None]):
    """A screen whose body gives way to a notice below 60×15 (by the breakpoint classes)."""

    def __init__(self) -> None:
        super().__init__()
        self._compositor = PartialCompositor()

    def compose(self) -> ComposeResult:
        """Lay out the body and the notice."""
        with Vertical(id="body"):
            yield from self.compose_body()
        yield TooSmall()

    def compose_body(self) -> ComposeResult:
        """Yield what the screen is made of."""
        raise NotImplementedError


class RunScreen(DashboardScreen):
    """Shows a run, live or stored: the ladder, one method's text, everybody's latency. Owns the state they show."""

    # No `reactive`: that would repaint the whole screen (30 ms) with every snapshot, where a few widgets are enough.
    run: var[RunState] = var(RunState, init=False)

    ladder = query_one(Ladder)
    focused_panel = query_one("#focused", LivePanel)
    curves = query_one(LatencyCurves)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._pending: RunState | None = None
        self._source: object = None
        self._pointed: str | None = None
        self._chosen_by_user = False
        self._drawn_after: int | None = None
        self._drawn_s = -math.inf
        self._known: Mapping[str, Method] = {}
        self._n_recoloured = context.series.n_changes

    def compose_run(self) -> ComposeResult:
        """Yield the ladder, and beside each other the text and the latency."""
        yield Ladder(self.context.series).data_bind(RunScreen.run)
        with Horizontal(id="views"):
            yield LivePanel(self.context.series, id="focused").data_bind(RunScreen.run)
            yield LatencyCurves()

    @property
    def known_methods(self) -> Mapping[str, Method]:
        """What is installed here, the same object until that changes; empty until it is known."""
        return self._known

    @on(RunProgressed)
    def show_snapshot(self, event: RunProgressed) -> None:
        """Take over a newer state; a hidden screen keeps it for later and paints nothing."""
        event.stop()
        if event.source is not self._source:
            return
        self._pending = event.state
        if self.is_current:
            self._take_over()

    def publisher(self, source: object) -> Callable[[RunState], object]:
        """Return what a feed tells its snapshots to; the latest source to ask is the one that is shown."""
        self._source = source
        return lambda state: self.post_message(RunProgressed(state, source))

    def on_screen_resume(self) -> None:
        """Show what happened meanwhile, and in the colours of today: another screen may have needed some of them."""
        self._take_over()
        self.context.series.show_together(self.run.methods)
        if self._n_recoloured != self.context.series.n_changes:
            self.recolour()

    def recolour(self) -> None:
        """Draw everything that has a method's colour anew."""
        self._n_recoloured = self.context.series.n_changes
        self.ladder.watch_run()
        self.focused_panel.show_anew()
        self._draw_curves(anew=True)

    def _take_over(self) -> None:
        if self._pending is None:
            return
        state, self._pending = self._pending, None
        self.context.series.show_together(state.methods)
        with self.app.batch_update():
            self.run = state

    def watch_run(self, run: RunState) -> None:
        """Follow what is running, or went wrong at the end, and draw its latency."""
        self.set_class(not run.methods, "-no-results")
        if not self._chosen_by_user:
            failed = (method for method in run.methods.values() if method.status is MethodStatus.FAILED)
            current = run.current or (None if run.running else next(failed, None))
            if current is not None:
                self.point(current.method)
            elif run.methods and self._pointed not in run.methods:
                self.point(next(iter(run.methods)))
        self._draw_curves()

    def _draw_curves(self, *, anew: bool = False) -> None:
        """Draw the latency once a second, and when a trial ends; where every byte counts, only then."""
        n_ended = sum(len(method.records) for method in self.run.methods.values())
        now_s = self.context.services.clock_s()
        soon = self.context.low_bandwidth or now_s - self._drawn_s < _CURVES_S
        if soon and not anew and n_ended == self._drawn_after and self.run.running:
            return
        self._drawn_after, self._drawn_s = n_ended, now_s
        found = []
        for name, method in self.run.methods.items():
            stream = describe.stream_of(method)
            if stream is not None:
                series = self.context.series
                letter = series.letter(name, colourless=self.app.no_color)
                found.append(Curve(fmt.printable(name), series.variable(name), stream, letter))
        found.sort(key=lambda curve: curve.name == fmt.printable(self._pointed or ""))
        self.curves.show(found)

    def point(self, method_id: str | None) -> None:
        """Look at a method: its row, its text, its curve in front."""
        changed, self._pointed = method_id != self._pointed, method_id
        self.focused_panel.show_method(method_id, self.known_methods)
        if method_id is not None:
            self.ladder.point(method_id)
        if changed and self.run.methods:
            self._draw_curves(anew=True)

    @on(MethodPointed)
    def follow_user(self, event: MethodPointed) -> None:
        """Look at the method whose row the user moved to."""
        event.stop()
        self._chosen_by_user = True
        self.point(event.method)

    def action_next_panel(self) -> None:
        """Look at the method in the next row."""
        names = self.ladder.keys
        if names:
            at = names.index(self._pointed) if self._pointed in names else -1
            self._chosen_by_user = True
            self.point(names[(at + 1) % len(names)])

    def action_swap_view(self) -> None:
        """Show the latency where there is room for one, and the text again."""
        self.toggle_class("-plot")

    def action_show_details(self) -> None:
        """Show all that is known of the method that is looked at."""
        method = self.run.methods.get(self._pointed or "")
        if method is None or not method.records:
            self.notify("no finished trial yet: run first, then look at the details", severity="warning")
            return
        from tuibench.ui.screens.details import DetailsScreen  # noqa: PLC0415 - rarely opened, so loaded late

        self.app.push_screen(DetailsScreen(self.run, method.method, self.known_methods))
