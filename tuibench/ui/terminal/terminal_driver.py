"""The terminal, at the end of a line that may be slow, and may be cut.

When the connection is lost or the program is told to end, the worker stops, the session is whole, and nothing hangs.
"""

from __future__ import annotations

import asyncio
import errno
import io
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TextIO

from textual.drivers.linux_driver import LinuxDriver
from textual.events import CursorPosition
from textual.message import Message

from tuibench.ui.terminal.pacing import QUESTION, PacedScreen, Pacer

_ENDINGS = (signal.SIGHUP, signal.SIGTERM)
_INTERRUPTED = 130
_LAST_ANSWER_S = 1.0
"""How long to wait for the answer to the last question; a terminal that is gone gives none."""
_MAX_WAITING = 8
"""Writes that wait for the terminal at which painting pauses: two frames. Textual's queue has room for 30."""


class _HangupSafeFile:
    """A terminal that may vanish: what is written afterwards goes nowhere.

    The toolkit writes in a thread that would end with the first error, and then waits for it for ever.
    """

    def __init__(self, file: TextIO, wrote: Callable[[], None]) -> None:
        self._file = file
        self._wrote = wrote
        self.fileno = file.fileno
        self.isatty = file.isatty

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except OSError as error:
            return _gone(error)
        finally:
            self._wrote()

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            _gone(error)


def _gone(error: OSError) -> int:
    if error.errno != errno.EIO:  # what a terminal answers after a hang-up
        raise error
    return 0


class TerminalDriver(LinuxDriver):
    """Textual's driver, on a terminal that may be slow or vanish, in a program that others may end."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type] # handed on as they are
        terminal = sys.__stderr__ or sys.stderr
        if isinstance(terminal, io.TextIOWrapper):  # glyphs are chosen for the terminal, not for Python's settings
            terminal.reconfigure(encoding="utf-8", errors="replace")
        self._file = _HangupSafeFile(terminal, self._wrote)  # type: ignore[assignment] # all that is asked of a file
        self.pacer = Pacer()
        self._answer_is_here = threading.Event()
        self._answer_is_here.set()
        self._owes_paint = False
        self._has_terminal = False
        self._hang_up: select.epoll | None = None

    def is_behind(self) -> bool:
        """Whether painting should wait; if so, the screen is asked to pay what it owes when the terminal has caught up.

        A terminal that does not say how far it has read is behind when it takes nothing any more, as at the end of a
        line that stands still. Writing on would fill Textual's queue, and then the event loop would stand still, too.
        """
        self._owes_paint = True  # before the look at the queue: its last item might be written meanwhile
        behind = self.pacer.behind or self._n_waiting() > _MAX_WAITING
        self._owes_paint = behind
        return behind

    def _n_waiting(self) -> int:
        """Return how many writes the writing thread has not begun."""
        return 0 if self._writer_thread is None else self._writer_thread._queue.qsize()  # noqa: SLF001 - not public

    def _wrote(self) -> None:
        """Take notice of a write that has ended. Runs in the thread that writes."""
        if self._owes_paint and self._n_waiting() == 0:
            with suppress(RuntimeError):  # the loop is closed: the program ends
                self._loop.call_soon_threadsafe(self._pay_paint)

    def start_application_mode(self) -> None:
        """Take over the terminal; from now on, the end of the connection is an orderly end of the program.

        Without it, the process would die at once: a worker ends by itself when its standard input closes, but a
        terminal that is still there would be left in raw mode.
        """
        self.pacer = Pacer()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._has_terminal = True
        loop = asyncio.get_running_loop()
        for number in _ENDINGS:
            loop.add_signal_handler(number, partial(self._app.exit, return_code=_INTERRUPTED))
        self._watch_line(loop)

    def _watch_line(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the program when the terminal is gone, though nobody sends a signal.

        Only the leader of a session is sent SIGHUP; all others would read the end of their input again and again.
        """
        self._hang_up = select.epoll()
        try:
            self._hang_up.register(self.fileno, 0)  # a hang-up is told whatever is asked for
        except PermissionError:  # standard input is a file, which does not hang up
            self._leave_line()
        else:
            loop.add_reader(self._hang_up.fileno(), self._hung_up)

    def _hung_up(self) -> None:
        self._leave_line()
        self._app.exit(return_code=_INTERRUPTED)

    def _leave_line(self) -> None:
        if self._hang_up is not None:
            self._loop.remove_reader(self._hang_up.fileno())
            self._hang_up.close()
            self._hang_up = None

    def write(self, data: str) -> None:
        """Write, and count."""
        super().write(data)
        self.pacer.wrote(len(data))

    def flush(self) -> None:
        """End a frame: ask the terminal how far it has come, unless it still owes an answer."""
        super().flush()
        if self._writer_thread is not None and self.pacer.wants_to_ask():
            self._answer_is_here.clear()
            super().write(QUESTION)

    def process_message(self, message: Message) -> None:
        """Take the answers out of what comes from the terminal. Runs in the thread that reads it."""
        if isinstance(message, CursorPosition):
            self._answer_is_here.set()
            self._loop.call_soon_threadsafe(self._answered)
        else:
            super().process_message(message)

    def stop_application_mode(self) -> None:
        """Give the terminal back, once it owes no answer: the shell would take it for something typed."""
        self.pacer.stop_asking()
        if self.pacer.answers:
            self._answer_is_here.wait(_LAST_ANSWER_S)
        self._leave_line()
        super().stop_application_mode()
        self._has_terminal = False

    def _sigtstp_application(self, *_: object) -> None:
        if self._auto_restart:
            self._between_callbacks(super()._sigtstp_application)
        else:
            super()._sigtstp_application()

    def _sigcont_application(self, *_: object) -> None:
        if self._auto_restart:
            self._between_callbacks(self._take_back_terminal)

    def _between_callbacks(self, answer: Callable[[], None]) -> None:
        """Answer a signal when the event loop comes to it.

        Python calls handlers anywhere, also amid a write that holds the lock of Textual's queue. One that writes then
        waits for itself for ever: a terminal that is gone sends SIGHUP and SIGCONT while much is written.
        """
        with suppress(RuntimeError):  # the loop is closed: the program ends
            self._loop.call_soon_threadsafe(answer)

    def _take_back_terminal(self) -> None:
        """Take the terminal back from whoever had it while this program was stopped.

        Textual does so after a stop that it was told of. After SIGSTOP it would take over a second time what it never
        gave back, with a second thread that reads keys, and paint only what changes on a screen that shows the shell.
        """
        if self._has_terminal:
            self.suspend_application_mode()
        elif not self._must_signal_resume:  # not begun, or at its end
            return
        self._must_signal_resume = True
        self.resume_application_mode()

    def _answered(self) -> None:
        self.pacer.answered()
        if self._owes_paint:
            self._pay_paint()
        self.flush()

    def _pay_paint(self) -> None:
        screen = self._app.screen_stack[-1] if self._app.screen_stack else None
        if isinstance(screen, PacedScreen):
            screen.call_later(screen.pay_paint)  # in its own task: what is painted asks which application it is part of
