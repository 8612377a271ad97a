"""A terminal at the end of a slow line is not painted faster than it reads.

What is written to an SSH connection waits in its buffers, hundreds of kilobytes of them. A key would be answered after
all of that, and once the buffers are full the event loop would stand still, the worker's events unread. So the
terminal is asked now and then how far it has come (it reports the cursor's position when it gets to the question), and
as long as too much is on its way, what there is to paint is gathered instead.
"""

from __future__ import annotations

from textual.screen import Screen, ScreenResultType

QUESTION = "\x1b[6n"
_MAX_ON_ITS_WAY = 4096
"""Characters written and not yet reported as read at which painting pauses: half a second at 8 kB/s."""


class Pacer:
    """How much of what was written the terminal has read."""

    def __init__(self) -> None:
        self._written = self._read = 0
        self._asked_at: int | None = None
        self._stopped = False
        self.answers = False
        """Whether the terminal has ever answered. One that does not is painted without regard."""

    def wrote(self, n_chars: int) -> None:
        """Take notice of what was written."""
        self._written += n_chars

    def wants_to_ask(self) -> bool:
        """Whether it is time for a question; the asking is taken as done."""
        if self._stopped or self._asked_at is not None or self._written == self._read:
            return False
        self._asked_at = self._written
        return True

    def answered(self) -> None:
        """Take notice of an answer."""
        if self._asked_at is not None:
            self._read, self._asked_at = self._asked_at, None
            self.answers = True

    def stop_asking(self) -> None:
        """Ask nothing any more: the program ends."""
        self._stopped = True

    @property
    def behind(self) -> bool:
        """Whether painting should wait."""
        return self.answers and self._written - self._read > _MAX_ON_ITS_WAY


class PacedScreen(Screen[ScreenResultType]):
    """A screen whose changes are gathered while the terminal is behind, and painted as one when it has caught up."""

    _owes_paint = False

    def _compositor_refresh(self) -> None:
        # Textual has no public place for this; its version is pinned, and a test paints through a whole application.
        # Without the call, the regions to paint stay noted, and the next call paints them all.
        is_behind = getattr(self.app._driver, "is_behind", None)  # noqa: SLF001
        self._owes_paint = is_behind is not None and is_behind()
        if self._owes_paint:
            self._dirty_widgets.clear()
        else:
            super()._compositor_refresh()

    def pay_paint(self) -> None:
        """Paint what was gathered."""
        if self._owes_paint and self.is_current:
            self._compositor_refresh()
