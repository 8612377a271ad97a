"""A sweep, or several machines: who wins where, where the winner changes, and each figure along each axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.widgets import Static

from tuibench.core import format as fmt
from tuibench.core.present.sweep_lines import AXIS_LABELS, TITLES, SweepMap, fixed_words, map_sentences, sweep_maps
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.sweep import Line, curve, lines, map_runs, sweep_runs
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.screens.base import DashboardScreen, destination
from tuibench.ui.text.sweep_rows import map_content, map_title
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.status_line import StatusLine
from tuibench.ui.widgets.sweep_curves import SweepCurves, SweptCurve

if TYPE_CHECKING:
    from tuibench.ui.context import Context


class SweepScreen(DashboardScreen):
    """Sentences, a map of one figure, and its curves along one axis; without an axis, the maps of all figures."""

    BINDINGS = bindings("sweep")
    BINDING_GROUP_TITLE = "Sweep"

    status = query_one(StatusLine)
    told = query_one("#changes-where Static", Static)
    grid = query_one("#map", VerticalScroll)
    curves = query_one(SweepCurves)

    def __init__(self, context: Context, comparison: Comparison) -> None:
        super().__init__()
        self.context = context
        self._comparison = comparison
        self._maps = sweep_maps(comparison)
        self._walks = lines(comparison)
        self._metric_at = self._walk_at = 0

    def compose_body(self) -> ComposeResult:
        """Lay out the screen."""
        yield StatusLine()
        with VerticalScroll(id="changes-where", classes="box") as sentences:
            sentences.border_title = "What changes where" if sweep_runs(self._comparison) else "Which machine"
            yield Static(markup=False)
        with VerticalScroll(id="map", classes="box"):
            yield Static(markup=False)
        yield SweepCurves()
        yield KeyLine()

    @property
    def rare_keys(self) -> frozenset[str]:
        """What the line of keys leaves out where there is nothing else to show."""
        alone = len(self._walks) < 2  # noqa: PLR2004 - a next one
        useless = {"sweep.next": alone, "sweep.previous": alone, "sweep.metric": len(self._maps) < 2}  # noqa: PLR2004
        return frozenset(key for key, left_out in useless.items() if left_out)

    @property
    def key_labels(self) -> dict[str, str]:
        """Where closing leads."""
        return {"sweep.close": destination(self)}

    def on_mount(self) -> None:
        """Show what there is."""
        self.context.series.show_together(row.method for row in self._comparison.rows)
        tried = self._comparison.tried(map_runs(self._comparison))
        runs = [self._comparison.runs[number] for number in tried]
        counts = ((len({run.shape for run in runs}), "shape"), (len({run.where for run in runs}), "machine"))
        told = tuple(fmt.counted(n, what) for n, what in counts if n > 1)
        self.status.facts = told if self._maps else ("nothing was measured",)
        self.told.update(Content("\n".join(map_sentences(self._comparison) or ["nothing competes here"])))
        self.curves.display = bool(self._walks)
        self.set_class(not self._walks, "-no-curves")
        self.grid.focus()
        self._show()

    def on_resize(self) -> None:
        """Find out what fits."""
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        if not self._maps or not self.query("#map"):  # nothing measured, or closed since it was asked for
            return
        found = self._maps[self._metric_at]
        accents = {name: self.context.series.variable(name) for name in found.methods}
        width = max(1, self.grid.scrollable_content_region.width)
        self.grid.border_title = map_title(found)
        others = () if self._walks else (*self._maps[self._metric_at + 1 :], *self._maps[: self._metric_at])
        self.grid.query_one(Static).update(map_content([found, *others], accents, width))
        if self._walks:
            self._show_curves(found, self._walks[self._walk_at], accents)

    def _show_curves(self, found: SweepMap, walk: Line, accents: Mapping[str, str]) -> None:
        fixed = fixed_words(walk)
        along = f"{TITLES[found.metric.id]} by {AXIS_LABELS[walk.axis]}"
        self.curves.border_title = f"{along} · {fixed}" if fixed else along
        several = len(self._walks) > 1
        self.curves.border_subtitle = f"{self._walk_at + 1} of {len(self._walks)}" if several else ""
        drawn = (
            SweptCurve(name, accents[name], tuple(curve(self._comparison, walk, name, found.metric)))
            for name in found.methods
        )
        self.curves.show(drawn, found.metric, AXIS_LABELS[walk.axis])

    # What the user asks for -----------------------------------------------------------------------------------------

    def action_next_metric(self) -> None:
        """Show the next figure."""
        if self._maps:
            self._metric_at = (self._metric_at + 1) % len(self._maps)
            self._show()

    def action_walk(self, step: int) -> None:
        """Show the curves along another axis, or with the others fixed elsewhere."""
        if self._walks:
            self._walk_at = (self._walk_at + step) % len(self._walks)
            self._show()

    def action_close(self) -> None:
        """Go back."""
        self.dismiss()
