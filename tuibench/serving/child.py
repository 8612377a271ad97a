"""The process with the model: `python -m tuibench.serving.child`, orders on standard input, messages on its output.

It ends with its standard input, whatever it is doing. Everything else that is printed goes to standard error, a log.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from pathlib import Path

import msgspec

from tuibench.core.run.events import FailureKind
from tuibench.models.lean_transformers import import_lean
from tuibench.models.text.tokenizer import PromptTokenizer, TooLongError
from tuibench.serving.generate import generate
from tuibench.serving.held_text import HeldText
from tuibench.serving.messages import (
    Cancel,
    Failed,
    Fault,
    Generate,
    Load,
    Loading,
    Message,
    Ready,
    Refused,
    decode_order,
)
from tuibench.worker.load import load_checked
from tuibench.worker.pipe import claim_stdout
from tuibench.worker.self_picking import tell_sampling
from tuibench.worker.serve import explain


class Orders:
    """What the parent wants, read in a thread so that an answer can be called off while it is made."""

    def __init__(self) -> None:
        """Start reading."""
        self._waiting: queue.SimpleQueue[Load | Generate] = queue.SimpleQueue()
        self._cancelled = -1
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def next(self) -> Load | Generate:
        """Wait for the next order."""
        return self._waiting.get()

    def is_cancelled(self, order: Generate) -> bool:
        """Return whether an answer was called off; ids only grow."""
        return order.id <= self._cancelled

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            match decode_order(line):
                case Cancel(id=id_):
                    self._cancelled = id_
                case order:
                    self._waiting.put(order)
        os._exit(0)  # the parent has had enough, or is gone


def serve(orders: Orders, messages: int) -> None:
    """Load what the first order names, then answer until the process ends.

    Args:
        orders: Where they come from.
        messages: Descriptor that messages are written to.
    """

    def send(message: Message) -> None:
        line = msgspec.json.encode(message) + b"\n"
        while line:
            line = line[os.write(messages, line) :]

    load = orders.next()
    assert isinstance(load, Load)  # noqa: S101 - the parent is our own
    try:
        tokenizer = PromptTokenizer(Path(load.model_dir))
        engine, info = load_checked(
            load.method,
            Path(load.model_dir),
            load.n_threads,
            load.calibration,
            lambda label, *_: send(Loading(label)),
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        traceback.print_exception(error, file=sys.stderr)
        send(Failed(_explained(error)))
        sys.exit(1)
    send(Ready(info.context_window, tokenizer.has_chat_template))
    held = HeldText(engine, info.context_window)
    while True:
        order = orders.next()
        assert isinstance(order, Generate)  # noqa: S101 - the parent is our own
        try:
            tell_sampling(engine, order.sampling, tokenizer.eos_ids if order.ignore_eos else ())
            generate(held, tokenizer, info.context_window, order, lambda: orders.is_cancelled(order), send)  # noqa: B023 - called at once
        except Exception as error:  # noqa: BLE001 - the next answer may go well
            fault = _fault(error)
            if fault == "model":
                held.forget()
                traceback.print_exception(error, file=sys.stderr)
            send(Refused(_explained(error), fault))


def _fault(error: Exception) -> Fault:
    if isinstance(error, TooLongError):
        return "length"
    return "request" if explain(error)[0] is FailureKind.BAD_INPUT else "model"


def _explained(error: Exception) -> str:
    return " ".join(explain(error)[1].split())


if __name__ == "__main__":
    import_lean()
    serve(messages=claim_stdout(), orders=Orders())
