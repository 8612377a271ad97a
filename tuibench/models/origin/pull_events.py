"""What a pull reports while it runs, and its wire format: one JSON object a line, tagged by `pull`."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tuibench.core import format as fmt


class _PullEvent(msgspec.Struct, frozen=True, tag_field="pull", tag=str.lower):
    pass


class PullProgress(_PullEvent, frozen=True):
    """A step moved on."""

    label: str
    done: int
    total: int | None
    """None where the amount is not known."""
    unit: str = "bytes"

    @property
    def amount(self) -> str:
        """How much of how much, with its unit; empty where that is not known."""
        if self.total is None:
            return ""
        if self.unit == "bytes":
            return f"{fmt.size(self.done)} of {fmt.size(self.total)}"
        return f"{self.done} of {self.total} {self.unit}"


class Pulled(_PullEvent, frozen=True):
    """The model is in the cache; always the last event."""

    name: str
    """What `find_model` finds it by."""


class PullFailed(_PullEvent, frozen=True):
    """The model cannot be had; always the last event."""

    message: str


PullEvent = PullProgress | Pulled | PullFailed
OnProgress = Callable[[PullProgress], None]

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PullEvent)


def encode(event: PullEvent) -> bytes:
    """Return the event as one line, newline included."""
    return _encoder.encode(event) + b"\n"


def decode(line: bytes) -> PullEvent:
    """Return the event that a line holds.

    Raises:
        msgspec.DecodeError: The line is not such an event.
    """
    event: PullEvent = _decoder.decode(line)
    return event
