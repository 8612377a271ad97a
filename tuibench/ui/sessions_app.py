"""What is done with stored sessions: they are opened, gone on with, compared, written into files, taken home."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work

from tuibench import paths
from tuibench.config import GlyphsWanted
from tuibench.core import format as fmt
from tuibench.models.local import ModelError
from tuibench.store.schema import SessionError
from tuibench.ui.context import Context
from tuibench.ui.messages import (
    ComparisonWanted,
    ReportWanted,
    ResumeWanted,
    SessionChosen,
    TakeWanted,
)
from tuibench.ui.screens.base import MORE_TRIALS
from tuibench.ui.themed_app import ThemedApp

if TYPE_CHECKING:
    from tuibench.store.schema import ModelHeader
    from tuibench.ui.screens.bench import BenchScreen


class SessionsApp(ThemedApp):
    """Does what screens ask for by message."""

    def __init__(self, context: Context, *, theme: str | None, folders: Iterable[Path], glyphs: GlyphsWanted) -> None:
        super().__init__(theme=theme, folders=folders, glyphs=glyphs)
        self.context = context
        self._bench: BenchScreen | None = None
        self._replay_speed: float | None = None

    @property
    def session_under_way(self) -> Path | None:
        """The file that a run is being written into."""
        return self._bench.session_under_way if self._bench is not None else None

    @property
    def latest_session(self) -> Path | None:
        """The file of the latest run that was measured here; None before there is one."""
        return self._bench.shown_session or self.session_under_way if self._bench is not None else None

    @on(SessionChosen)
    def open_chosen(self, event: SessionChosen) -> None:
        """Open a stored session."""
        self._open(event.path, play=event.replay)

    @work(exclusive=True, group="open")
    async def _open(self, path: Path, *, play: bool) -> None:
        from tuibench.ui.screens.replay import ReplayScreen  # noqa: PLC0415 - not part of the first frame

        try:
            session = await asyncio.to_thread(self.context.services.load_session, path)
        except SessionError as error:
            self.notify(fmt.printable(str(error)), title="Session", severity="error", timeout=10)
            return
        if isinstance(self.screen, ReplayScreen):
            await self.pop_screen()
        await self.push_screen(
            ReplayScreen(self.context, session, path=path, play=play, speed=self._replay_speed or 1.0)
        )

    @on(ResumeWanted)
    def resume_chosen(self, event: ResumeWanted) -> None:
        """Measure what is missing of a stored session, once it is known what that is and the user agrees."""
        if self.session_under_way is not None:
            self.notify("a run is under way – F8 on the bench stops it", severity="warning")
        elif paths.is_bundled(event.path):
            self.notify(f"{fmt.printable(event.path.name)} comes with tuibench and stays as it is", severity="warning")
        else:
            self._resume(event.path, more=event.more)

    @work(exclusive=True, group="resume")
    async def _resume(self, path: Path, *, more: bool) -> None:
        from tuibench.measure.run.resume_offer import GoOn  # noqa: PLC0415 - when it is asked for
        from tuibench.ui.screens.resume import ResumeScreen, whole  # noqa: PLC0415 - when it is asked for

        try:
            named, servers = self.context.model, self.context.config.servers
            offer = await asyncio.to_thread(self.context.services.resume_offer, path, named, servers)
        except SessionError as error:
            self.notify(fmt.printable(str(error)), title="Session", severity="error", timeout=10)
            return
        how: GoOn | None = GoOn.MORE
        if not (more and whole(offer) and not offer.n_failed):
            how = await self.push_screen_wait(ResumeScreen(offer, MORE_TRIALS))
        if how is not None:
            await self.switch_mode("bench")
            while len(self.screen_stack) > 1:  # a session may have been opened from there
                await self.pop_screen()
            if self._bench is not None:
                self._bench.go_on(offer, how)

    @on(ReportWanted)
    def report_chosen(self, event: ReportWanted) -> None:
        """Write a session into a file to pass on."""
        self._report(event.path)

    @work(exclusive=True, group="export")
    async def _report(self, path: Path) -> None:
        from tuibench.ui.screens.export import export  # noqa: PLC0415 - when it is asked for

        try:
            found = await asyncio.to_thread(self.context.services.compare, (path,), None)
        except SessionError as error:
            self.notify(fmt.printable(str(error)), title="Session", severity="error", timeout=10)
            return
        await export(self, self.context.services, found.comparison, path.stem)

    @on(TakeWanted)
    def take_chosen(self, event: TakeWanted) -> None:
        """Make a folder of a measured method."""
        if self.session_under_way is not None:
            self.notify("this would disturb the run under way – F8 on the bench stops it", severity="warning")
        else:
            self._take(event)

    @work(exclusive=True, group="take")
    async def _take(self, event: TakeWanted) -> None:
        from tuibench.ui.screens.take import TakeScreen  # noqa: PLC0415 - when it is asked for
        from tuibench.ui.take_process import TakeRequest  # noqa: PLC0415

        services = self.context.services
        try:
            header = (await asyncio.to_thread(services.load_session, event.path)).header
        except SessionError as error:
            self.notify(fmt.printable(str(error)), title="Session", severity="error", timeout=10)
            return
        model = await asyncio.to_thread(self._name_here, header.model)
        request = TakeRequest(
            event.method,
            model,
            event.path,
            header.settings.calibration_ranges,
            services.take_folder(model, event.method),
        )
        await self.push_screen_wait(TakeScreen(self.context, request, event.methods))

    def _name_here(self, measured: ModelHeader) -> str:
        """Return what a session's model is called here: as the user named it where that is the same."""
        with suppress(ModelError):
            found = self.context.services.find_model(self.context.model)
            if found is not None and found.digest == measured.digest:
                return self.context.model
        return measured.name

    @on(ComparisonWanted)
    def compare_chosen(self, event: ComparisonWanted) -> None:
        """Lay stored sessions side by side."""
        self.action_compare(event.paths)

    def action_compare(self, chosen: Sequence[Path]) -> None:
        """Lay stored sessions side by side."""
        from tuibench.ui.screens.compare import CompareScreen  # noqa: PLC0415 - not part of the first frame

        self.push_screen(CompareScreen(self.context, chosen))
