"""Server-sent events: what lies between blank lines, stamped when it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter_ns
from typing import BinaryIO

_MAX_LINE_BYTES = 1 << 20


class BrokenStreamError(Exception):
    """What comes is not a stream of events, or goes on for ever without any; the message says which."""


def events(stream: BinaryIO, silent_ns: int) -> Iterator[tuple[int, str]]:
    """Yield the data of each event with the `perf_counter_ns` at which its last line was there, up to the end.

    Args:
        stream: Lines as they come.
        silent_ns: Longest time without an event. Comments, which keep a connection alive, are none.

    Raises:
        BrokenStreamError: A line is too long, or nothing came for too long.
    """
    data: list[str] = []
    at_ns = heard_ns = perf_counter_ns()
    while line := stream.readline(_MAX_LINE_BYTES):
        now_ns = perf_counter_ns()
        if len(line) >= _MAX_LINE_BYTES:  # with `peek`, the standard library reads past a limit
            raise BrokenStreamError("sends a line without end")
        text = line.decode("utf-8", errors="replace").rstrip("\r\n")
        name, _, value = text.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
            at_ns = now_ns
        elif name == "error":  # llama-server's older versions call an event's only line so
            data.append(f'{{"error": {value}}}')
        elif not text and data:
            yield at_ns, "\n".join(data)
            data.clear()
            heard_ns = perf_counter_ns()
        if now_ns - heard_ns > silent_ns:
            raise BrokenStreamError("keeps the connection alive and sends nothing")
    if data:
        yield at_ns, "\n".join(data)
