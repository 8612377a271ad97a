"""When a program under test has nothing left to do: its event loop is asked, not the clock."""

import asyncio

import textual.app
import textual.pilot
from textual._context import active_app
from textual.pilot import Pilot

_TICK_S = 1 / 50
"""Longer than from a change to its painting."""
_MOST_TICKS = 5
"""Where something moves by itself, such as a race that plays, there is always something to paint."""
_HUNG_S = 600.0
_MOST_TURNS = 200_000
"""Of the event loop, until something is taken for endless: not a time, which passes for a stopped process, too."""


class Idle:
    """Textual's own wait takes a process that was given no CPU for one that has no work."""

    def __init__(self, monkeypatch):
        self.n_in_threads = 0
        run_in_executor = asyncio.BaseEventLoop.run_in_executor

        def counted_run(loop, *arguments):
            future = run_in_executor(loop, *arguments)
            self.n_in_threads += 1
            future.add_done_callback(self._thread_is_back)
            return future

        monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", counted_run)
        monkeypatch.setattr(textual.app, "wait_for_idle", self.wait)
        monkeypatch.setattr(textual.pilot, "wait_for_idle", self.wait)
        monkeypatch.setattr(Pilot._wait_for_screen, "__defaults__", (_HUNG_S,))

    def _thread_is_back(self, _future):
        self.n_in_threads -= 1

    async def wait(self, *_limits):
        """Wait until nothing is ready to run, no thread is at work, and nothing is left to be painted."""
        await self._drained()
        for _ in range(_MOST_TICKS):
            if not any(_unsettled(screen) for screen in active_app.get().screen_stack):
                return
            await asyncio.sleep(_TICK_S)
            await self._drained()

    async def _drained(self):
        loop = asyncio.get_running_loop()
        for _ in range(_MOST_TURNS):
            if not (loop._ready or self.n_in_threads):
                return
            await asyncio.sleep(0.001 if self.n_in_threads else 0)
        raise AssertionError("the program does not come to rest")


def _unsettled(screen):
    """Return whether a screen has yet to lay out or paint, or a widget of it has yet to hear of something."""
    if screen._update_timer._active.is_set() or screen._layout_required or screen._callbacks:
        return True
    return any(node.message_queue_size or node._layout_required for node in screen.walk_children(with_self=True))
