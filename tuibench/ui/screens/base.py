"""What the screens have in common: the notice on a terminal that is too small, and the view of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.getters import query_one
from textual.reactive import var
from textual.screen import Screen
from textual.widget import Widget

from tuibench.core import format as fmt
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import DECODE
from tuibench.core.run.control import is_control
from tuibench.core.run.host import without_host
from tuibench.core.run.limits import Limits
from tuibench.core.run.spec import Method
from tuibench.core.run.state import MethodStatus, RunState
from tuibench.ui.context import Context
from tuibench.ui.messages import MethodPointed, ReportWanted, RunProgressed, TakeWanted
from tuibench.ui.terminal.pacing import PacedScreen
from tuibench.ui.terminal.painting import PartialCompositor
from tuibench.ui.text import describe
from tuibench.ui.text.result import Result, answer_of, result_of
from tuibench.ui.widgets.ladder import Ladder
from tuibench.ui.widgets.latency_curves import Curve, LatencyCurves
from tuibench.ui.widgets.live_panel import LivePanel
from tuibench.ui.widgets.result_strip import KEYS, ResultStrip

if TYPE_CHECKING:
    from tuibench.models.memory_needs import Fit

MORE_TRIALS = 3
"""Of each method, where more are asked for: from three on there is an interval."""
_CURVES_S = 1.0
"""Least time between two drawings of the latency: most of a snapshot's cost, and nobody sees it grow faster."""


def destination(screen: DashboardScreen) -> str:
    """Return what the screen under this one is called: where closing this one leads."""
    stack: Sequence[Screen[Any]] = screen.app.screen_stack
    below = stack[stack.index(screen) - 1] if screen in stack[1:] else None
    return (below and below.BINDING_GROUP_TITLE) or "Back"


class TooSmall(Widget):
    """Stands in for everything where nothing could be read."""

    def render(self) -> Content:
        """Say what is needed."""
        width, height = self.app.size
        runs = getattr(self.app, "session_under_way", None) is not None
        return Content.assemble(
            ("terminal too small", "bold $warning"),
            f"\n{width}×{height}: 60×15 needed",
            ("\nthe run goes on" if runs else "", "$muted"),
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
    strip = query_one(ResultStrip)
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
        self.fits: Mapping[str, Fit] = {}
        """What methods take of memory beside what is free, as far as it is known before a run."""
        self._comparison: Comparison | None = None
        self.limits: Limits | None = None
        """Of the search that is shown; None where everything is measured."""

    def compose_run(self) -> ComposeResult:
        """Yield the ladder, and beside each other the text and the latency."""
        yield ResultStrip()
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
            self._follow_run(run)
        self._draw_curves()
        self.show_result()

    def _follow_run(self, run: RunState) -> None:
        failed = (method for method in run.methods.values() if method.status is MethodStatus.FAILED)
        current = run.current or (None if run.running else next(failed, None))
        if current is not None:
            self.point(current.method)
        elif run.methods and self._pointed not in run.methods:
            self.point(next(iter(run.methods)))

    @on(Ladder.Compared)
    def take_comparison(self, event: Ladder.Compared) -> None:
        """Keep what the trials amount to."""
        event.stop()
        self._comparison = event.comparison
        self.show_result()

    def show_result(self) -> None:
        """Say what a run that is over amounts to, and look at the method that leads."""
        over = self._comparison is not None and bool(self.run.methods) and not self.run.running
        result = self._result(self._comparison) if over and self._comparison is not None else None
        if result == self.strip.result:
            return
        self.strip.result = result
        self.strip.n_more = None if self.run.cancelled else MORE_TRIALS
        failed = any(method.status is MethodStatus.FAILED for method in self.run.methods.values())
        if result is not None and not self._chosen_by_user and not failed:
            self.point(result.leader)
        self.refresh_bindings()

    @property
    def spared_keys(self) -> frozenset[str]:
        """What the line of keys leaves out though it does something: the result's own keys stand in its strip."""
        return frozenset(KEYS) if self.strip.display else frozenset()

    @property
    def _whys(self) -> Mapping[str, str]:
        return self.strip.result.whys if self.strip.result is not None else {}

    def _result(self, comparison: Comparison) -> Result | None:
        return result_of(comparison) if self.limits is None else answer_of(comparison, self.limits)

    @property
    def shown_session(self) -> Path | None:
        """The file of what is shown; None where there is none."""
        raise NotImplementedError

    def action_report(self) -> None:
        """Write what is shown into a file to pass on."""
        if (path := self._of_result()) is not None:
            self.post_message(ReportWanted(path))

    def action_take(self) -> None:
        """Take the method that is looked at home, or the one that leads."""
        path, comparison, result = self._of_result(), self._comparison, self.strip.result
        if path is None or comparison is None or result is None:
            return
        rows = [row for row in comparison.rows if row.median(DECODE) and not is_control(row.method)]
        rows.sort(key=lambda row: -(row.median(DECODE) or 0))
        measured = tuple(dict.fromkeys(row.method for row in rows))  # on whichever machine
        pointed = without_host(self._pointed or "")
        wanted = pointed if self._chosen_by_user and pointed in measured else without_host(result.leader)
        self.post_message(TakeWanted(path, wanted, measured))

    def _of_result(self) -> Path | None:
        if self.strip.result is None:
            self.notify("no result yet – a run has to end first", severity="warning")
            return None
        return self.shown_session

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
        self.strip.pointed = method_id
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
        names = self.ladder.methods
        if names:
            at = names.index(self._pointed) if self._pointed in names else -1
            self._chosen_by_user = True
            self.point(names[(at + 1) % len(names)])

    def action_swap_view(self) -> None:
        """Show the latency where there is room for one, and the text again."""
        self.toggle_class("-plot")

    @property
    def run_in_full(self) -> RunState:
        """What details are told of."""
        return self.run

    def action_show_details(self) -> None:
        """Show all that is known of the method that is looked at; if the user chose none, perhaps of another."""
        run = self.run_in_full
        told = [name for name, method in run.methods.items() if method.records]
        pointed = self._pointed or ""
        if not told:
            self.notify("no finished trial yet: run first, then look at the details", severity="warning")
        elif pointed not in told and self._chosen_by_user:
            self.notify(f"no finished trial of {fmt.printable(pointed)} yet", severity="warning")
        else:
            from tuibench.ui.screens.details import DetailsScreen  # noqa: PLC0415 - rarely opened, so loaded late

            method = pointed if pointed in told else told[0]
            self.app.push_screen(DetailsScreen(run, method, self.known_methods, self._whys, self.fits))
