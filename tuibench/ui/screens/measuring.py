"""A screen that measures: one run at a time, what becomes of it, and where to go from there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work

from tuibench.core import format as fmt
from tuibench.core.run.spec import RunSpec
from tuibench.core.run.state import RunState
from tuibench.models.local import LocalModel, ModelError
from tuibench.store.schema import SessionError
from tuibench.ui.feed import Feed, Pace
from tuibench.ui.messages import ComparisonWanted, FeedEnded, ResumeWanted, SessionChosen
from tuibench.ui.screens.base import RunScreen
from tuibench.ui.text import describe

if TYPE_CHECKING:
    from tuibench.measure.run.measurement import Measurement
    from tuibench.measure.run.resume import Continuation
    from tuibench.ui.context import Context


class MeasuringScreen(RunScreen):
    """Knows the run that goes on, and the latest one."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._live: Measurement | None = None
        self._started_s: float | None = None
        self._ended_s: float | None = None
        self._session: Path | None = None

    @property
    def session_under_way(self) -> Path | None:
        """The file of the run that goes on; None while nothing runs, or nothing is written yet."""
        return self._live.session_path if self._live else None

    @property
    def shown_session(self) -> Path | None:
        """The file of the latest run."""
        return self._session

    @property
    def elapsed_s(self) -> float | None:
        """How long the latest run has gone on, or went on; None where there is none."""
        if self._started_s is None:
            return None
        return (self.context.services.clock_s() if self._ended_s is None else self._ended_s) - self._started_s

    def refuse_while_running(self) -> bool:
        """Say that a run goes on, if one does, and return whether one does."""
        if self._live is not None:
            self.notify("a run is under way – F8 stops it", severity="warning")
        return self._live is not None

    @work(exclusive=True, group="run")
    async def measure(self, spec: RunSpec, model: LocalModel, resume: Continuation | None = None) -> None:
        """Measure, and show it as it goes on; `FeedEnded` says how it ended."""
        services = self.context.services
        self._live = live = services.measure(spec, model, resume)
        self._started_s, self._ended_s = services.clock_s(), None
        self._chosen_by_user = False
        self.limits = spec.limits
        self._session = None
        problem = None
        pace = Pace(self.context.snapshot_s, services.cpus().n_usable, services.own_cpu_s)
        feed = Feed(live.events(), self.publisher(live), pace)
        try:
            await feed.run()
        except (OSError, ModelError, SessionError) as error:
            problem = str(error)
        finally:
            self._live = None
            self._ended_s = services.clock_s()
            self._session = live.session_path
        self.post_message(FeedEnded(feed.state, live.session_path, problem))

    @on(FeedEnded)
    def report_end(self, event: FeedEnded) -> None:
        """Say what became of the run and where it is kept."""
        for notice in event.state.notices:
            self.notify(fmt.printable(notice), severity="warning")
        if event.problem is not None:
            self.notify(fmt.printable(event.problem), title="The run broke off", severity="error", timeout=15)
        elif event.session is not None:
            saved = f"saved as {fmt.printable(event.session.name)}"
            more = " – R measures what is missing" if event.state.cancelled else ""
            self.notify(f"{saved}{more}", title=describe.run_label(event.state))

    def forget_run(self) -> None:
        """Begin anew, as if nothing had been measured."""
        self._started_s = self._ended_s = None
        self._session = None
        self.run = RunState()
        self._chosen_by_user = False

    def action_stop_run(self) -> None:
        """End the run; what is finished is kept."""
        if self._live is None:
            self.notify("nothing is running – F5 starts a run", severity="warning")
        else:
            self._live.stop()

    def action_skip_method(self) -> None:
        """End the method of the row that the user chose, if it runs, or else the one that has its turn."""
        if self._live is None:
            self.notify("nothing is running – F5 starts a run", severity="warning")
        else:
            chosen = self.run.methods.get(self._pointed or "") if self._chosen_by_user else None
            self._live.skip(chosen.method if chosen and chosen.running else None)

    def action_resume(self) -> None:
        """Measure what is missing of the latest run, or more trials where nothing is."""
        if self.refuse_while_running():
            return
        if self._session is None:
            self.notify("no run to go on with – F3 shows earlier ones, R goes on with one", severity="warning")
        else:
            self.post_message(ResumeWanted(self._session, more=True))

    def action_compare(self) -> None:
        """Lay the methods of the latest run side by side."""
        if (path := self._latest_session()) is not None:
            self.post_message(ComparisonWanted((path,)))

    def action_race(self) -> None:
        """Watch the latest run again, all methods at once."""
        if (path := self._latest_session()) is not None:
            self.post_message(SessionChosen(path, replay=True))

    def _latest_session(self) -> Path | None:
        path = self._session or self.session_under_way
        if path is None:
            self.notify("nothing measured yet – F5 starts a run, F3 shows earlier ones", severity="warning")
        return path
