"""What a process with a model and its parent tell each other, as JSON lines."""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

from tuibench.core.run.spec import Calibration, Sampling


class Load(msgspec.Struct, frozen=True, kw_only=True, tag="load"):
    """The first line: what to load."""

    method: str
    model_dir: str
    n_threads: int
    calibration: Calibration = Calibration()


class ChatMessage(msgspec.Struct, frozen=True):
    """What one side said."""

    role: str
    content: str


class Generate(msgspec.Struct, frozen=True, kw_only=True, tag="generate"):
    """One answer; exactly one of `text`, `token_ids` and `messages` is given."""

    id: int
    text: str | None = None
    """As it is; the tokenizer adds what it adds to any text."""
    token_ids: tuple[int, ...] | None = None
    messages: tuple[ChatMessage, ...] | None = None
    today: date | None = None
    """The day that a chat template tells the model."""
    max_new_tokens: int | None = None
    """None: as many as the model's window has room for."""
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    """Texts that end the answer, and are not part of it."""
    ignore_eos: bool = False
    """The model cannot end the answer, as in a measurement."""
    reuse: bool = True
    """Whether tokens that the KV-cache still holds from the answer before are not read again."""


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """End an answer; one that has ended already stays as it is."""

    id: int


Order = Load | Generate | Cancel


class Loading(msgspec.Struct, frozen=True, tag="loading"):
    """What is being done until the model is there."""

    label: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is there."""

    context_window: int | None
    has_chat_template: bool


class Started(msgspec.Struct, frozen=True, tag="started"):
    """An answer has begun: its prompt can be read."""

    n_prompt: int


class Piece(msgspec.Struct, frozen=True, tag="piece"):
    """Some of an answer's text."""

    text: str


Reason = Literal["stop", "length", "window", "cancelled"]


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """An answer is whole. Times are by the clock of the process that has the model."""

    reason: Reason
    n_prompt: int
    n_cached: int
    """Tokens of the prompt that were not read again."""
    n_gen: int
    """Tokens of the answer, the one that ended it not counted."""
    ttft_ns: int | None
    """From the order to the first token; None without one."""
    decode_ns: int
    """From the first token to the last."""

    @property
    def decode_tps(self) -> float | None:
        """Tokens a second after the first; None where there are none."""
        return (self.n_gen - 1) / self.decode_ns * 1e9 if self.n_gen > 1 and self.decode_ns else None


Fault = Literal["request", "length", "model"]
"""Whose: of what was asked for, of its length, which is more than the model's window, or of something here."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """There is no answer, or no more of it; the next may go well."""

    message: str
    fault: Fault


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The method cannot be loaded; the process ends."""

    message: str


Message = Loading | Ready | Started | Piece | Finished | Refused | Failed

_messages: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


def decode_message(line: bytes) -> Message:
    """Return what the process with the model says.

    Raises:
        msgspec.DecodeError: It is no message.
    """
    return _messages.decode(line)


def decode_order(line: bytes) -> Order:
    """Return what the parent wants.

    Raises:
        msgspec.DecodeError: It is no order.
    """
    return _orders.decode(line)
