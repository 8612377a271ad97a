"""A program that is told to end does so as after Ctrl+C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_in_order(also: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Have SIGTERM and a lost terminal do what Ctrl+C does: what was written so far is removed.

    Args:
        also: Called before KeyboardInterrupt is raised: Python drops an exception that is raised while it finalises an
            object, and a program that waits for something else would then wait for ever. May be called at any moment.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        also()
        raise KeyboardInterrupt

    deadly = (signal.SIG_DFL, signal.default_int_handler)  # what a shell's `&` told us to ignore stays ignored
    before = {number: found for number in _ENDINGS if (found := signal.getsignal(number)) in deadly}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
