"""When the connection is lost or the program is told to end: the worker stops, the session is whole, nothing hangs."""

from __future__ import annotations

import asyncio
import errno
import signal
from functools import partial
from typing import TextIO

from textual.drivers.linux_driver import LinuxDriver

_ENDINGS = (signal.SIGHUP, signal.SIGTERM)
_INTERRUPTED = 130


class _Deaf:
    """A terminal that may vanish: what is written afterwards goes nowhere.

    The toolkit writes in a thread that would end with the first error, and then waits for it for ever.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.fileno = file.fileno
        self.isatty = file.isatty

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except OSError as error:
            return _gone(error)

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
    """Textual's driver, on a terminal that may vanish, in a program that others may end."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type] # handed on as they are
        self._file = _Deaf(self._file)  # type: ignore[assignment] # all that the writer thread asks of a file

    def start_application_mode(self) -> None:
        """Take over the terminal; from now on, the end of the connection is an orderly end of the program.

        Without it, the process would die at once: a worker ends by itself when its standard input closes, but a
        terminal that is still there would be left in raw mode.
        """
        super().start_application_mode()
        loop = asyncio.get_running_loop()
        for number in _ENDINGS:
            loop.add_signal_handler(number, partial(self._app.exit, return_code=_INTERRUPTED))
