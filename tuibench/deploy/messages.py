"""What the process that asks for a folder and the one that makes it tell each other, as JSON."""

from __future__ import annotations

import msgspec

from tuibench.core.run.spec import Calibration


class TakeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to put into a folder."""

    method: str
    model_dir: str
    model_name: str
    source: str
    """Where the weights came from, as sessions have it."""
    folder: str
    """Exists and is empty."""
    n_threads: int
    calibration: Calibration = Calibration()
    measured: tuple[str, ...] = ()
    """What was measured of it, as lines of Markdown; empty where nothing was."""
    measured_decode_tps: float | None = None
    """Its decode speed there, in tokens per second."""


class Step(msgspec.Struct, frozen=True, tag="step"):
    """What is being done."""

    label: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The folder is whole, and gave the right tokens."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """There is no folder; one sentence says why."""

    message: str


Message = Step | Done | Refused

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def decode(line: bytes) -> Message:
    """Return the message that a line holds.

    Raises:
        msgspec.DecodeError: It holds none.
    """
    return _decoder.decode(line)
