"""A stored session: its results, or a race: all its methods streaming again side by side at recorded times."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.events import Resize
from textual.geometry import Size
from textual.getters import query_one

from tuibench import paths
from tuibench.core import format as fmt
from tuibench.core.results.row import REFERENCE
from tuibench.core.run.shape import describe as describe_shape
from tuibench.core.run.shape import swept_axes
from tuibench.core.run.state import RunState
from tuibench.store.schema import Session, SessionError
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.messages import ComparisonWanted, ResumeWanted
from tuibench.ui.screens.base import RunScreen, destination
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.offer import Offer
from tuibench.ui.widgets.race_lane import RaceLane
from tuibench.ui.widgets.status_line import StatusLine
from tuibench.ui.widgets.transport import Transport

if TYPE_CHECKING:
    from pathlib import Path

    from tuibench.ui.context import Context

_SLOWEST, _FASTEST = 0.25, 16.0
_LEAST_LANE_HEIGHT = 5
_LEAST_LANE_WIDTH = 38
_OF_A_RACE = frozenset({"replay.faster", "replay.step"})
"""Keys of which one thinks once a race is shown."""
_OF_RESULTS = frozenset({"report", "take", "next_panel", "swap_view"})
"""Actions that a race has no use for."""
_FOLLOW_S = 3.0
"""How often a file that somebody writes is looked at; it is read only when it has changed."""


class ReplayScreen(RunScreen):
    """Opens with all results; the space bar starts the race."""

    BINDINGS = bindings("replay")
    BINDING_GROUP_TITLE = "Session"

    status = query_one(StatusLine)
    transport = query_one(Transport)
    race = query_one("#race", VerticalScroll)

    def __init__(
        self, context: Context, session: Session, *, path: Path | None = None, play: bool = False, speed: float = 1.0
    ) -> None:
        super().__init__(context)
        self._path = path
        self._stays_as_it_is = path is None or paths.is_bundled(path)
        self._play_at_once = play
        self._speed = min(max(_SLOWEST, speed), _FASTEST)
        self._take(session)
        self._position_ns = self._timeline.duration_ns
        self._known = context.known_methods()
        self._under_way = False
        self._playing = False
        self._ticked_s = 0.0

    def _take(self, session: Session) -> None:
        services = self.context.services
        self._session, self._timeline = session, services.timeline(session)
        self.limits = session.header.settings.limits
        self._divergences_ns = sorted(set(services.divergences_ns(session, REFERENCE).values()))

    def compose_body(self) -> ComposeResult:
        """Lay out the screen."""
        yield StatusLine()
        yield from self.compose_run()
        yield VerticalScroll(id="race")
        yield Transport()
        yield KeyLine()

    def on_mount(self) -> None:
        """Show the results, and play if asked to."""
        header = self._session.header
        settings = header.settings
        self.status.facts = (
            fmt.printable(header.model.name),
            fmt.printable(header.machine.cpu),
            fmt.counted(settings.n_threads, "thread"),
            f"{fmt.counted(settings.max_new_tokens, 'token')} × {settings.n_trials}",
        )
        self._write_status()
        self._write_marks()
        self.ladder.explain(self.known_methods)
        self._show_results()
        if self.run.cancelled and self._path is not None:
            self._follow(self._path)
        self._lay_out_lanes()
        self.ladder.focus()
        self.set_interval(self.context.frame_s, self._tick)
        for dropped in self._session.dropped:
            self.notify(fmt.printable(dropped), title="Not everything could be read", severity="warning", timeout=10)
        if self._play_at_once:
            self._go_to(0)
            self._set_playing(playing=True)
        self._write_transport()

    @property
    def rare_keys(self) -> frozenset[str]:
        """Keys that would do nothing now."""
        here = {"app.sessions"} if self.app.current_mode == "sessions" else set()
        useless = {
            "replay.difference": not self._divergences_ns,
            "replay.faster": self._speed >= _FASTEST,
            "replay.slower": self._speed <= _SLOWEST,
            "run.details": not self._session.trials,
            "run.resume": self._stays_as_it_is,
            **dict.fromkeys(("run.compare", "run.report", "run.take"), self._path is None),
        }
        return frozenset(here | {key for key, left_out in useless.items() if left_out})

    @property
    def spared_keys(self) -> frozenset[str]:
        """What the line of keys leaves to others, and as long as no race is shown those of one."""
        return super().spared_keys if self.has_class("-racing") else super().spared_keys | _OF_A_RACE

    @property
    def key_labels(self) -> Mapping[str, str]:
        """What keys are called as the screen stands."""
        return {
            "replay.end": "Results" if self.has_class("-racing") else "Race",
            "replay.toggle": "Pause" if self._playing else "Play",
            "replay.close": destination(self),
        }

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave out of a race what belongs to the results: it is hidden, or not known before the end."""
        del parameters
        return not (self.has_class("-racing") and action in _OF_RESULTS)

    @property
    def run_in_full(self) -> RunState:
        """All that was recorded, however far a race has come."""
        if not self.has_class("-racing"):
            return self.run
        return self.context.services.stored_state(self._session, under_way=self._under_way)

    @property
    def shown_session(self) -> Path | None:
        """The file that is shown."""
        return self._path

    @work(group="under way")
    async def _follow(self, path: Path) -> None:
        """As long as somebody measures, show what comes to the file."""

        def look() -> tuple[bool, int]:
            return self.context.services.under_way(path), path.stat().st_mtime_ns

        with suppress(OSError, SessionError):  # it is gone, or damaged, by now
            found = await asyncio.to_thread(look)
            shown = (False, found[1])
            while True:
                if found != shown:
                    shown, self._under_way = found, found[0]
                    self._take(await asyncio.to_thread(self.context.services.load_session, path))
                    self._show_what_came()
                if not self._under_way:
                    return
                await asyncio.sleep(_FOLLOW_S)
                found = await asyncio.to_thread(look)

    def _show_what_came(self) -> None:
        """Show the session as it is now; a race goes on, with more to see."""
        self._write_status()
        self._write_marks()
        if not self.has_class("-racing"):
            self._position_ns = self._timeline.duration_ns
            self._show_results()
        self._write_transport()

    def watch_run(self, run: RunState) -> None:
        """Show the state, and of a sweep which part of it that is."""
        super().watch_run(run)
        self._write_status()

    def _follow_run(self, run: RunState) -> None:
        """In a race, where all run at once, stay with the method that the results were about."""
        if not self.has_class("-racing"):
            super()._follow_run(run)

    def _write_status(self) -> None:
        sweep, shape = self._session.header.settings.sweep, self.run.shape
        parts = (
            describe_shape(shape, swept_axes(sweep.axes.shapes())) if sweep and shape else "",
            "● being measured" if self._under_way else "",
            fmt.moment(self._session.header.created),
        )
        self.status.state = " · ".join(filter(None, parts))

    def _write_marks(self) -> None:
        whole_ns = max(1, self._timeline.duration_ns)
        self.transport.marks = tuple(at_ns / whole_ns for at_ns in self._divergences_ns)

    def _set_racing(self, *, racing: bool) -> None:
        if racing != self.has_class("-racing"):
            self.set_class(racing, "-racing")
            (self.race if racing else self.ladder).focus()  # where the keys of a list scroll
            self.refresh_bindings()

    def _show_results(self) -> None:
        self._set_racing(racing=False)
        self._pending = self.context.services.stored_state(self._session, under_way=self._under_way)
        self._take_over()
        if self._pointed is None:
            self.point(next(iter(self.run.methods), None))

    def _lay_out_lanes(self) -> None:
        lanes = [RaceLane(name, self.context.series.number(name)).data_bind(RunScreen.run) for name in self.run.methods]
        self.race.mount_all(lanes)

    def recolour(self) -> None:
        """Draw everything that has a method's colour anew, the lanes too."""
        super().recolour()
        for lane in self.race.query(RaceLane):
            lane.apply_colour(self.context.series.number(lane.method_id))

    def on_resize(self, event: Resize) -> None:
        """Lay the lanes out anew."""
        self.size_lanes(event.size)

    def size_lanes(self, size: Size) -> None:
        """Have as many lanes beside each other as stay readable, and as high as there is room for."""
        n_lanes = max(1, len(self.run.methods))
        n_columns = min(n_lanes, max(1, size.width // _LEAST_LANE_WIDTH), 4)
        n_columns = -(-n_lanes // -(-n_lanes // n_columns))  # no emptier rows than needed
        n_rows = -(-n_lanes // n_columns)
        self.race.styles.grid_size_columns = n_columns
        n_other_lines = 3 + sum(offer.outer_size.height for offer in self.query(Offer))
        height = (size.height - n_other_lines) // n_rows
        self.race.styles.grid_rows = str(max(_LEAST_LANE_HEIGHT, height))

    # Playing --------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Let as much recorded time pass as the speed asks for."""
        now_s = self.context.services.clock_s()
        passed_s, self._ticked_s = now_s - self._ticked_s, now_s
        if self._playing and self.app.screen is self:
            self._go_to(self._position_ns + round(passed_s * self._speed * 1e9))
            if self._position_ns >= self._timeline.duration_ns:
                self._set_playing(playing=False)

    def _go_to(self, position_ns: int) -> None:
        """Show the race at a time."""
        self._position_ns = min(max(0, position_ns), self._timeline.duration_ns)
        self._set_racing(racing=True)
        self._pending = self._timeline.at(self._position_ns)
        self._take_over()
        self._write_transport()

    def _draw_curves(self, *, anew: bool = False) -> None:
        """Draw the latency unless the race hides it."""
        if not self.has_class("-racing"):
            super()._draw_curves(anew=anew)

    def _set_playing(self, *, playing: bool) -> None:
        changed, self._playing = playing != self._playing, playing
        self._ticked_s = self.context.services.clock_s()
        self._write_transport()
        if changed:
            self.refresh_bindings()

    def action_toggle_play(self) -> None:
        """Pause, go on, or start from the beginning once it is at its end."""
        if not self._playing and self._position_ns >= self._timeline.duration_ns:
            self._go_to(0)
        self._set_playing(playing=not self._playing)

    def action_seek(self, seconds: float) -> None:
        """Go back or forth in recorded time."""
        self._go_to(self._position_ns + round(seconds * 1e9))

    def action_step(self, direction: int) -> None:
        """Go to the next token of any method, or to the one before, and stand there."""
        self._set_playing(playing=False)
        find = self._timeline.next_token_ns if direction > 0 else self._timeline.token_before_ns
        self._go_to(find(self._position_ns))

    def action_next_difference(self) -> None:
        """Go to where a text begins to differ from the reference's, and stand there."""
        if not self._divergences_ns:
            self.notify(f"no text that can be compared differs from {REFERENCE}'s, as far as both go")
            return
        at_ns = self._position_ns if self.has_class("-racing") else -1
        self._set_playing(playing=False)
        self._go_to(next((mark for mark in self._divergences_ns if mark > at_ns), self._divergences_ns[0]))
        for lane in self.race.query(RaceLane):
            lane.show_first_difference()

    def action_faster(self) -> None:
        """Double the speed."""
        self._set_speed(self._speed * 2)

    def action_slower(self) -> None:
        """Halve the speed."""
        self._set_speed(self._speed / 2)

    def _set_speed(self, speed: float) -> None:
        self._speed = min(max(_SLOWEST, speed), _FASTEST)
        self._write_transport()
        self.refresh_bindings()

    def action_to_start(self) -> None:
        """Stand at the start of the race."""
        self._set_playing(playing=False)
        self._go_to(0)

    def action_to_end(self) -> None:
        """Show all results at once."""
        self._set_playing(playing=False)
        self._position_ns = self._timeline.duration_ns
        self._show_results()
        self._write_transport()

    def action_swap_race(self) -> None:
        """Show the results, or the race where it stands."""
        if self.has_class("-racing"):
            self._set_playing(playing=False)
            self._show_results()
        else:
            self._go_to(self._position_ns)

    def _write_transport(self) -> None:
        self.transport.state = (
            self._playing,
            self._position_ns / 1e9,
            self._timeline.duration_ns / 1e9,
            self._speed,
        )

    def action_compare(self) -> None:
        """Lay the methods of this session side by side."""
        if self._path is not None:
            self.post_message(ComparisonWanted((self._path,)))

    def action_resume(self) -> None:
        """Measure what is missing of this session."""
        if self._path is not None:
            self.post_message(ResumeWanted(self._path))

    def action_close(self) -> None:
        """Go back to where the session was opened."""
        self.dismiss()
