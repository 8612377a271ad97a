"""What the screens have in common: the notice on a terminal that is too small, and the view of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.reactive import var
from textual.widget import Widget

from tuibench.core.spec import Method
from tuibench.core.state import MethodStatus, RunState
from tuibench.ui.messages import MethodPointed, RunProgressed
from tuibench.ui.pacing import PacedScreen
from tuibench.ui.services import Context
from tuibench.ui.widgets.live_panel import LivePanel
from tuibench.ui.widgets.results_table import ResultsTable

_MANY = 3


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

    def compose(self) -> ComposeResult:
        """Lay out the body and the notice."""
        with Vertical(id="body"):
            yield from self.compose_body()
        yield TooSmall()

    def compose_body(self) -> ComposeResult:
        """Yield what the screen is made of."""
        raise NotImplementedError


class RunScreen(DashboardScreen):
    """Shows a run, live or stored: one panel per method and the table. Owns the state that they are bound to."""

    # No `reactive`: that would repaint the whole screen (30 ms) with every snapshot, where a few widgets are enough.
    run: var[RunState] = var(RunState, init=False)

    panels = query_one("#panels", VerticalScroll)
    table = query_one(ResultsTable)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._pending: RunState | None = None
        self._source: object = None
        self._panel_ids: tuple[str, ...] = ()
        self._pointed: str | None = None
        self._chosen_by_user = False

    def compose_run(self) -> ComposeResult:
        """Yield panels and table."""
        yield VerticalScroll(id="panels", can_focus=False)
        yield ResultsTable(self.context.series).data_bind(RunScreen.run)

    @property
    def known_methods(self) -> dict[str, Method]:
        """What is installed here; empty until it is known."""
        return {}

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
        """Show what happened meanwhile."""
        self._take_over()

    def _take_over(self) -> None:
        if self._pending is None:
            return
        state, self._pending = self._pending, None
        with self.app.batch_update():
            if state.methods:
                self.show_panels(state.methods)
            self.run = state

    def watch_run(self, run: RunState) -> None:
        """Show the table once there is something in it, and follow what is running, or went wrong at the end."""
        self.set_class(not run.methods, "-no-results")
        if self._chosen_by_user:
            return
        failed = (method for method in run.methods.values() if method.status is MethodStatus.FAILED)
        current = run.current or (None if run.running else next(failed, None))
        if current is not None:
            self.point(current.method)

    def show_panels(self, method_ids: Iterable[str]) -> None:
        """Have one panel for each of these methods."""
        wanted = tuple(method_ids)
        if wanted == self._panel_ids:
            return
        self._panel_ids = wanted
        self.panels.remove_children()
        known = self.known_methods
        panels = [
            LivePanel(name, known.get(name), self.context.series.number(name)).data_bind(RunScreen.run)
            for name in wanted
        ]
        self.panels.set_class(len(wanted) == 1, "-one")
        self.panels.set_class(len(wanted) >= _MANY, "-many")
        self.panels.mount_all(panels)
        self.point(self._pointed if self._pointed in wanted else next(iter(wanted), None))

    def point(self, method_id: str | None) -> None:
        """Show a method's panel: the only one where there is room for one, in view where they scroll."""
        changed, self._pointed = method_id != self._pointed, method_id
        for panel in self.panels.query_children(LivePanel):
            panel.set_class(panel.method_id == method_id, "-pointed")
            if panel.method_id == method_id and changed:
                panel.scroll_visible(animate=False)
        if method_id is not None:
            self.table.point(method_id)

    @on(MethodPointed)
    def follow_user(self, event: MethodPointed) -> None:
        """Show the panel of the row that the user moved to."""
        event.stop()
        self._chosen_by_user = True
        self.point(event.method)

    def action_next_panel(self) -> None:
        """Show the panel after the one that is shown."""
        if self._panel_ids:
            at = self._panel_ids.index(self._pointed) if self._pointed in self._panel_ids else -1
            self._chosen_by_user = True
            self.point(self._panel_ids[(at + 1) % len(self._panel_ids)])

    def action_show_details(self) -> None:
        """Show all that is known of the pointed method's latest trial."""
        method = self.run.methods.get(self._pointed or "")
        if method is None or not method.records:
            self.notify("no finished trial yet: run first, then look at the details", severity="warning")
            return
        from tuibench.ui.screens.details import DetailsScreen  # noqa: PLC0415 - rarely opened, so loaded late

        self.app.push_screen(DetailsScreen(method))
