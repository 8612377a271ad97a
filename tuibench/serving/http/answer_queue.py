"""Answers one after the other, in the order in which they were asked for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

import msgspec

from tuibench.serving.messages import Finished, Generate, Piece, Started
from tuibench.serving.model_process import ModelGoneError, ModelProcess, RefusedError

_LOOK_S = 1.0

Event = Started | Piece | Finished | RefusedError | ModelGoneError
"""What comes of an order; `Finished` and the errors end it."""


class Answer:
    """One order and what comes of it.

    Attributes:
        events: As they come.
        cancelled: Whether nobody waits for it any more.
    """

    def __init__(self, order: Generate) -> None:
        """Take an order."""
        self.order = order
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.cancelled = False


class AnswerQueue:
    """One process with a model, started by the thread that asks it; if it dies, the next order starts another."""

    def __init__(self, start: Callable[[], ModelProcess]) -> None:
        """Say how a process is started; `run` starts the first."""
        self._start = start
        self._waiting: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._process: ModelProcess | None = None
        self._lock = threading.Lock()
        self._current: Answer | None = None
        self._n_asked = 0

    def ask(self, order: Generate) -> Answer:
        """Put an order behind those that wait; its id is set here."""
        with self._lock:
            self._n_asked += 1
            answer = Answer(msgspec.structs.replace(order, id=self._n_asked))
            self._waiting.put(answer)
        return answer

    def cancel(self, answer: Answer) -> None:
        """Let nobody work on an answer any more."""
        with self._lock:
            answer.cancelled = True
            if answer is self._current and self._process is not None:
                self._process.cancel()

    def run(self, on_ready: Callable[[ModelProcess], None]) -> None:
        """Start a process and answer until `end`.

        Args:
            on_ready: Called once the first process is ready.

        Raises:
            ModelGoneError: The first process cannot load the model.
        """
        self._process = self._start()
        try:
            on_ready(self._process)
            while (answer := self._next()) is not None:
                self._answer(answer)
        finally:
            if self._process is not None:
                self._process.close()

    def _next(self) -> Answer | None:
        """Wait for an order, or the end.

        Not for ever at once: Python handles a signal that comes right before a wait begins when that wait is over.
        """
        while True:
            with suppress(queue.Empty):
                return self._waiting.get(timeout=_LOOK_S)

    def end(self) -> None:
        """End `run` once the answer that is being made is whole."""
        self._waiting.put(None)

    def _answer(self, answer: Answer) -> None:
        try:
            if self._process is None:
                self._process = self._start()
            with self._lock:
                self._current = answer
                if answer.cancelled:
                    return
            for event in self._process.generate(answer.order):
                answer.events.put(event)
                if answer.cancelled:  # before the process knew that it was asked
                    self._process.cancel()
        except RefusedError as error:
            answer.events.put(error)
        except ModelGoneError as error:
            with self._lock:
                gone, self._process = self._process, None
            if gone is not None:
                gone.close()
            answer.events.put(error)
        finally:
            with self._lock:
                self._current = None
