"""A conversation: what both sides said, and the order for the next answer."""

from __future__ import annotations

from datetime import date

from tuibench.core.run.spec import Sampling
from tuibench.serving.messages import ChatMessage, Generate


class Conversation:
    """Turn after turn; with a model that was not trained on chats, one text that both write."""

    def __init__(self, sampling: Sampling, max_new_tokens: int | None, *, system: str | None, raw: bool) -> None:
        """Say how answers are made.

        Args:
            sampling: How tokens are picked.
            max_new_tokens: Of an answer; None: as many as the window has room for.
            system: What the model is told before anything is said.
            raw: Go without a chat template: what is said is appended to the text so far.
        """
        self._sampling = sampling
        self._max_new_tokens = max_new_tokens
        self._system = system
        self._raw = raw
        self._id = 0
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._messages = [ChatMessage("system", self._system)] if self._system and not self._raw else []
        self._text = f"{self._system}\n" if self._system and self._raw else ""

    def ask(self, said: str, today: date) -> Generate:
        """Return the order for an answer; it becomes part of the conversation with `answered`."""
        self._id += 1
        return Generate(
            id=self._id,
            text=self._text + said if self._raw else None,
            messages=None if self._raw else (*self._messages, ChatMessage("user", said)),
            today=today,
            max_new_tokens=self._max_new_tokens,
            sampling=self._sampling,
        )

    def answered(self, order: Generate, answer: str) -> None:
        """Keep a question and its answer."""
        self._messages = [*(order.messages or ()), ChatMessage("assistant", answer)]
        self._text = f"{order.text}{answer}\n" if order.text is not None else ""
