"""A stored session: its results at once, or all its methods streaming again side by side."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.getters import query_one
from textual.widgets import Footer

from tuibench.core import format as fmt
from tuibench.core.run_events import RunEvent
from tuibench.core.spec import Method
from tuibench.ui.feed import Feed
from tuibench.ui.keymap import bindings
from tuibench.ui.screens.base import RunScreen
from tuibench.ui.widgets.status_line import StatusLine
from tuibench.ui.widgets.transport import Transport

if TYPE_CHECKING:
    from tuibench.store.schema import Session
    from tuibench.ui.services import Context, ReplaySource

_AT_ONCE = 1e12
"""Speed of winding: every wait becomes one turn of the event loop."""
_SLOWEST, _FASTEST = 0.125, 64.0
_TICK_S = 0.5


class ReplayScreen(RunScreen):
    """Opens with all results; the space bar plays them from the start."""

    BINDINGS = bindings("replay")
    BINDING_GROUP_TITLE = "Session"

    status = query_one(StatusLine)
    transport = query_one(Transport)

    def __init__(self, context: Context, session: Session, *, play: bool = False, speed: float = 1.0) -> None:
        super().__init__(context)
        self._session = session
        self._play_at_once = play
        self._speed = speed
        self._replay: ReplaySource | None = None
        self._duration_ns = 0

    def compose_body(self) -> ComposeResult:
        """Lay out the screen."""
        yield StatusLine()
        yield from self.compose_run()
        yield Transport()
        yield Footer(compact=True)

    @property
    def known_methods(self) -> dict[str, Method]:
        """Nothing: a stored session explains itself, and may hold methods that are not installed here."""
        return {}

    def on_mount(self) -> None:
        """Show the results, and play if asked to."""
        header = self._session.header
        settings = header.settings
        self.status.facts = (
            fmt.printable(header.model.name),
            fmt.printable(header.machine.cpu),
            f"{settings.n_threads} threads",
            f"{settings.max_new_tokens} tokens × {settings.n_trials}",
        )
        self.status.state = f"{header.created:%Y-%m-%d %H:%M}"
        self._duration_ns = self.context.services.replay(self._session, 1.0).duration_ns
        self._pending = self.context.services.stored_state(self._session)
        self._take_over()
        self.table.focus()
        self.set_interval(_TICK_S, self._write_transport)
        for dropped in self._session.dropped:
            self.notify(fmt.printable(dropped), title="Not everything could be read", severity="warning", timeout=10)
        if self._play_at_once:
            self._play_from(0)
        self._write_transport()

    # Playing --------------------------------------------------------------------------------------------------------

    @work(exclusive=True, group="replay")
    async def _play(self, replay: ReplaySource, target_ns: int, *, paused: bool) -> None:
        self._replay = replay
        events = self._wound_to(replay, target_ns, paused=paused)
        await Feed(events, self.publisher(replay), interval_s=self.context.snapshot_s).run()
        self._write_transport()

    async def _wound_to(self, replay: ReplaySource, target_ns: int, *, paused: bool) -> AsyncGenerator[RunEvent, None]:
        """Yield a replay's events, those before the target at once."""
        winding = target_ns > 0
        replay.speed = _AT_ONCE if winding else self._speed
        async for event in replay.events():
            yield event
            if winding and replay.position_ns >= target_ns:
                winding = False
                replay.speed = self._speed
                replay.paused = paused and target_ns < self._duration_ns

    def _play_from(self, target_ns: int, *, paused: bool = False) -> None:
        self._play(self.context.services.replay(self._session, self._speed), target_ns, paused=paused)

    @property
    def _position_ns(self) -> int:
        return self._duration_ns if self._replay is None else self._replay.position_ns

    def action_toggle_play(self) -> None:
        """Pause, go on, or start from the beginning once it is at its end."""
        replay = self._replay
        if replay is None or replay.position_ns >= self._duration_ns:
            self._play_from(0)
        else:
            replay.paused = not replay.paused
        self._write_transport()

    def action_seek(self, seconds: int) -> None:
        """Go back or forth in recorded time."""
        target_ns = min(max(0, self._position_ns + seconds * 1_000_000_000), self._duration_ns)
        paused = self._replay is None or self._replay.paused
        self._play_from(target_ns, paused=paused)

    def action_faster(self) -> None:
        """Double the speed."""
        self._set_speed(self._speed * 2)

    def action_slower(self) -> None:
        """Halve the speed."""
        self._set_speed(self._speed / 2)

    def _set_speed(self, speed: float) -> None:
        self._speed = min(max(_SLOWEST, speed), _FASTEST)
        if self._replay is not None and self._replay.speed != _AT_ONCE:
            self._replay.speed = self._speed
        self._write_transport()

    def action_to_end(self) -> None:
        """Show all results at once."""
        self.workers.cancel_group(self, "replay")
        self._replay = self._source = None
        self._pending = self.context.services.stored_state(self._session)
        self._take_over()
        self._write_transport()

    def _write_transport(self) -> None:
        replay = self._replay
        playing = replay is not None and not replay.paused and replay.position_ns < self._duration_ns
        whole_s = self._duration_ns / 1e9
        at_s = whole_s if replay is None else min(whole_s, math.floor(replay.position_ns / 1e9))
        self.transport.state = (playing, at_s, whole_s, self._speed)

    def action_close(self) -> None:
        """Go back to where the session was opened."""
        self.dismiss()
