"""Any number of sessions and methods side by side: which one to take, and what the choice costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.widgets import Input, Static

from tuibench.core import format as fmt
from tuibench.core.present.columns import cells, comparison_columns, filled, varying
from tuibench.core.present.sweep_lines import untried_words
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.peers import apart
from tuibench.core.results.row import Row
from tuibench.core.results.sweep import map_runs, sweep_runs
from tuibench.core.results.verdict import recommend
from tuibench.store.schema import SessionError
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.look.series import letter
from tuibench.ui.screens.base import DashboardScreen, destination
from tuibench.ui.text import compare_rows, describe
from tuibench.ui.text.compare_rows import SORTS
from tuibench.ui.text.row_names import RowNames, key
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.latency_curves import LONGEST_NAME, Curve, LatencyCurves
from tuibench.ui.widgets.ratio_bars import RatioBars
from tuibench.ui.widgets.row_list import RowList
from tuibench.ui.widgets.scatter import Point, Scatter
from tuibench.ui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from pathlib import Path

    from tuibench.ui.context import Context

_SCATTER = "-scatter"
_CURVES = "-curves"
_VIEWS = ("-bars", _SCATTER, _CURVES)
_OF_SEVERAL = "-changes"
"""A further view, the first one, where there are several sessions."""
_MOST_CURVES = 16


class CompareScreen(DashboardScreen):
    """A verdict, a table, and three pictures of it; what is pointed at in the table is in front in all of them."""

    BINDINGS = bindings("compare")
    BINDING_GROUP_TITLE = "Compare"

    status = query_one(StatusLine)
    verdict = query_one("#verdict Static", Static)
    doubts = query_one("#doubts", VerticalScroll)
    changed = query_one("#changes Static", Static)
    search = query_one("#filter", Input)
    table = query_one("#comparison", RowList)
    bars = query_one(RatioBars)
    scatter = query_one(Scatter)
    curves = query_one(LatencyCurves)

    def __init__(self, context: Context, paths: Sequence[Path]) -> None:
        super().__init__()
        self.context = context
        self._paths = tuple(paths)
        self._comparison: Comparison | None = None
        self._rows: list[Row] = []
        self._peers: tuple[str, ...] = ()
        self._yardstick: str | None = None
        self._sort = ""
        self._view = 0

    def compose_body(self) -> ComposeResult:
        """Lay out the screen."""
        yield StatusLine()
        with VerticalScroll(id="verdict", classes="box") as verdict:
            verdict.border_title = "Verdict"
            yield Static("reading …", markup=False)
        with VerticalScroll(id="doubts", classes="box") as doubts:
            doubts.border_title = "Not the same conditions"
            doubts.display = False
            yield Static(markup=False)
        yield Input(placeholder="method or session", id="filter", compact=True, classes="box")
        yield RowList(id="comparison")
        with Horizontal(id="pictures"):
            with VerticalScroll(id="changes", classes="box") as changed:
                changed.border_title = "What changed"
                yield Static(markup=False)
            yield RatioBars()
            yield Scatter()
            yield LatencyCurves()
        yield KeyLine()

    def on_mount(self) -> None:
        """Read the sessions, then show them."""
        self.table.border_title = "Comparison"
        self.search.border_title = "Filter"
        self.search.display = False
        self._show_view()
        self.status.facts = (f"{len(self._paths)} session{'s' if len(self._paths) > 1 else ''}",)
        self.table.focus()
        self._read()

    @property
    def _views(self) -> tuple[str, ...]:
        views: tuple[str, ...] = _VIEWS
        if not self._scored:  # beside the bars, where there is room, curves stand in the other picture's place
            views = ("-bars", _CURVES) if self.has_class("-narrow") else ("-bars",)
        return (_OF_SEVERAL, *views) if len(self._paths) > 1 else views

    @property
    def _scored(self) -> bool:
        """Whether speed over divergence is a picture of something, or may be one: the rows are not known at first."""
        return self._comparison is None or any(row.kld is not None and row.n_trials for row in self._comparison.rows)

    @property
    def rare_keys(self) -> frozenset[str]:
        """What the line of keys leaves out where there is nothing to swap."""
        mapped = self._comparison is not None and bool(map_runs(self._comparison))
        useless = {
            "compare.swap": len(self._paths) < 2,  # noqa: PLR2004 - two to swap
            "compare.map": not mapped,
            "compare.view": len(self._views) == 1,
            "app.sessions": self.app.current_mode == "sessions",
        }
        return frozenset(key for key, left_out in useless.items() if left_out)

    @property
    def key_labels(self) -> dict[str, str]:
        """Where closing leads; first of all it ends the filter."""
        return {"compare.close": "All rows" if self.search.display else destination(self)}

    @work(exclusive=True, group="read")
    async def _read(self) -> None:
        try:
            found = await asyncio.to_thread(self.context.services.compare, self._paths, self._yardstick)
            known = await asyncio.to_thread(self.context.known_methods)
        except SessionError as error:
            self.verdict.update(Content.styled(fmt.printable(str(error)), "$error"))
            return
        first_read = self._comparison is None
        self._comparison = found.comparison
        self.set_class(not self._scored, "-unscored")
        self._show_view()
        self._peers = tuple(name for name, method in known.items() if not method.is_rung)
        self.context.series.add(known)
        self.context.series.show_together(row.method for row in found.comparison.rows)
        self.doubts.display = bool(found.warnings)
        self.set_class(bool(found.warnings), "-doubted")
        self.doubts.query_one(Static).update(fmt.printable("\n".join(found.warnings)))
        title = " · ".join(filter(None, ("Verdict", compare_rows.about(found.comparison))))
        self.query_one("#verdict", VerticalScroll).border_title = title
        self.changed.update(Content("\n").join(compare_rows.change_lines(found.comparison)))
        self._show()
        if first_read:
            self.refresh_bindings()  # whether there is a map is known now
            self._point_at_leader(found.comparison)
        if first_read and len(self._paths) == 1 and sweep_runs(found.comparison):
            self.action_show_sweep()

    def _point_at_leader(self, comparison: Comparison) -> None:
        """Begin at the method that the verdict is about."""
        leader = recommend(comparison).fastest
        row = next((row for row in self._rows if (row.run, row.method) == (0, leader)), None)
        if row is not None:
            self.table.point(key(row))
            self._show_pointed()

    def on_resize(self) -> None:
        """Find out what fits."""
        self.call_after_refresh(self._show)

    # Showing --------------------------------------------------------------------------------------------------------

    @property
    def _accents(self) -> dict[str, str]:
        rows = self._comparison.rows if self._comparison else ()
        return {row.method: self.context.series.variable(row.method) for row in rows}

    def _show(self) -> None:
        comparison = self._comparison
        if comparison is None or not self.query("#filter"):  # not read yet, or closed since it was asked for
            return
        arranged = compare_rows.arranged(comparison, by=self._sort, holding=self.search.value.split())
        ours, theirs = apart(arranged, self._peers)
        self._rows = [*ours, *theirs]
        width = max(1, self.table.scrollable_content_region.width)
        whole = compare_rows.table(comparison, self._rows, width, self._accents, self._sort)
        shown = whole.with_peers_apart(len(ours))
        self.table.write(shown.heading, shown.keys, shown.lines)
        left_out = untried_words(comparison, range(len(comparison.runs)))
        self.table.border_title = " · ".join(filter(None, ("Comparison", left_out)))
        self.table.border_subtitle = (
            f"sorted {SORTS[self._sort]} · yardstick {fmt.printable(comparison.yardstick or '–')}"
        )
        self.bars.show(comparison, self._rows, self._accents)
        self._show_pointed()

    @property
    def _pointed(self) -> Row | None:
        return next((row for row in self._rows if key(row) == self.table.pointed), None)

    @on(RowList.Pointed)
    def show_pointed(self, event: RowList.Pointed) -> None:
        """Say what another row amounts to."""
        event.stop()
        self._show_pointed()

    def _show_pointed(self) -> None:
        comparison, pointed = self._comparison, self._pointed
        if comparison is None:
            return
        self.verdict.update(compare_rows.verdict(comparison, pointed))
        self.scatter.show(self._points(comparison, pointed))
        self.curves.show(self._curves(comparison, pointed))

    def _points(self, comparison: Comparison, pointed: Row | None) -> list[Point]:
        scored = {row.run for row in self._rows if row.kld is not None}
        names, points = RowNames(comparison, self._rows), []
        for row in self._rows:
            tps, kld = row.median(DECODE), compare_rows.divergence(row)
            if tps and kld is not None and row.run in scored:
                (name, *shorter), style = names.forms(row), self._accents[row.method]
                point = Point(name, style, tps, kld, row.best_for_its_quality, row is pointed, tuple(shorter))
                points.append(point)
        return points

    def _curves(self, comparison: Comparison, pointed: Row | None) -> list[Curve]:
        curves, rows = [], [row for row in self._rows if row.n_trials][:_MOST_CURVES]
        names = RowNames(comparison, self._rows)
        letters = {key(row): self._letter(comparison, row) for row in rows}
        short = names.within(LONGEST_NAME - (2 if any(letters.values()) else 0), rows)
        for row in sorted(rows, key=lambda row: row is pointed):
            trials = comparison.runs[row.run].trials
            measured = (each for each in trials if each.method == row.method and not each.warmup and not each.failed)
            record = next(measured, None)
            if record is not None:
                style, stream = self._accents[row.method], describe.stream_of_record(record)
                at = key(row)
                curves.append(Curve(names.whole(row), style, stream, letters[at], short[at]))
        return curves

    def _letter(self, comparison: Comparison, row: Row) -> str:
        """Return what tells a row's line from those of other rows in the same colour."""
        place = comparison.rows.index(row)
        earlier = {self._accents[other.method] for other in comparison.rows[:place]}
        return letter(place) if self.app.no_color or self._accents[row.method] in earlier else ""

    # What the user asks for -----------------------------------------------------------------------------------------

    def action_yardstick(self) -> None:
        """State all speeds against the method pointed at."""
        if self._pointed is not None and self._pointed.n_trials:
            self._yardstick = self._pointed.method
            self._read()

    def action_show_sweep(self) -> None:
        """Show a sweep as a map and as curves, machines as a map; a session of one shape on one has neither."""
        from tuibench.ui.screens.sweep import SweepScreen  # noqa: PLC0415 - few sessions need it

        if self._comparison is not None and map_runs(self._comparison):
            self.app.push_screen(SweepScreen(self.context, self._comparison))

    def action_swap(self) -> None:
        """Hold the sessions against the next one of them: of two, against the other."""
        if len(self._paths) > 1:
            self._paths = (*self._paths[1:], self._paths[0])
            self._read()

    def action_sort(self) -> None:
        """Sort by the next of the columns that one chooses by."""
        order = list(SORTS)
        self._sort = order[(order.index(self._sort) + 1) % len(order)]
        self._show()

    def action_filter(self) -> None:
        """Show only rows that hold what is typed."""
        self.search.display = True
        self.search.focus()
        self.refresh_bindings()

    @on(Input.Changed)
    def narrow_down(self, event: Input.Changed) -> None:
        """Show the rows that hold what was typed so far."""
        event.stop()
        self._show()

    @on(Input.Submitted)
    def end_filter(self, event: Input.Submitted) -> None:
        """Go back to the table."""
        event.stop()
        self.search.display = bool(self.search.value)
        self.table.focus()
        self.refresh_bindings()

    def action_next_view(self) -> None:
        """Show the next of the pictures where not all have room."""
        self._view += 1
        self._show_view()

    def _show_view(self) -> None:
        views = self._views
        for name in (_OF_SEVERAL, *_VIEWS):
            self.set_class(name == views[self._view % len(views)], name)

    def action_copy_table(self) -> None:
        """Copy the rows that are shown, as text in columns (OSC 52: it works through SSH)."""
        comparison = self._comparison
        if comparison is None or not self._rows:
            return
        fields = varying(filled(comparison_columns(comparison), comparison, self._rows), comparison, self._rows)
        lines = cells(fields, comparison, self._rows, short=frozenset())
        self.app.copy_to_clipboard("\n".join("\t".join(line) for line in lines) + "\n")
        self.notify(f"{len(self._rows)} rows copied")

    def action_copy_verdict(self) -> None:
        """Copy the verdict."""
        if self._comparison is not None:
            self.app.copy_to_clipboard(compare_rows.verdict(self._comparison, self._pointed).plain)
            self.notify("verdict copied")

    @work(group="export")
    async def action_export(self) -> None:
        """Write the comparison into a file."""
        from tuibench.ui.screens.export import export  # noqa: PLC0415 - not part of the first frame

        if self._comparison is not None:
            await export(self.app, self.context.services, self._comparison, self._paths[0].stem)

    def action_close(self) -> None:
        """End the filter, or go back."""
        if self.search.display:
            self.search.value = ""
            self.search.display = False
            self.table.focus()
            self.refresh_bindings()
        else:
            self.dismiss()
