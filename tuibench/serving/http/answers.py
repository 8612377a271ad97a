"""An answer as OpenAI's API words it, in one piece or as a stream of events."""

from __future__ import annotations

import secrets
import time
from typing import Any

from tuibench.serving.http.requests import Asked
from tuibench.serving.messages import Finished

_NAMES = {
    "completions": ("cmpl", "text_completion", "text_completion"),
    "chat": ("chatcmpl", "chat.completion", "chat.completion.chunk"),
}
"""What ids begin with, and what an answer is called in one piece and in many."""


class Wording:
    """What all events of one answer have in common."""

    def __init__(self, asked: Asked, model: str) -> None:
        """Name the answer."""
        self._asked = asked
        prefix, self._whole_kind, self._piece_kind = _NAMES[asked.api]
        self._head = {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}

    def whole(self, text: str, finished: Finished) -> dict[str, Any]:
        """Return the answer in one piece."""
        said = {"message": {"role": "assistant", "content": text}} if self._asked.api == "chat" else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish_reason(finished)}
        return {**self._head, "object": self._whole_kind, "choices": [choice], "usage": usage(finished)}

    def opening(self) -> dict[str, Any] | None:
        """Return the first event, which says who speaks; None where the API has none."""
        return self._event(delta={"role": "assistant", "content": ""}) if self._asked.api == "chat" else None

    def piece(self, text: str) -> dict[str, Any]:
        """Return an event with some text."""
        return self._event(delta={"content": text}) if self._asked.api == "chat" else self._event(text=text)

    def ending(self, finished: Finished) -> list[dict[str, Any]]:
        """Return the last events: why it ended, and the counts if they were asked for."""
        said: dict[str, Any] = {"delta": {}} if self._asked.api == "chat" else {"text": ""}
        last = [self._event(finish_reason(finished), **said)]
        if self._asked.include_usage:
            last.append({**self._head, "object": self._piece_kind, "choices": [], "usage": usage(finished)})
        return last

    def _event(self, finish: str | None = None, **said: object) -> dict[str, Any]:
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        counts = {"usage": None} if self._asked.include_usage else {}
        return {**self._head, "object": self._piece_kind, "choices": [choice], **counts}


def finish_reason(finished: Finished) -> str:
    """Return why an answer ended."""
    return "stop" if finished.reason == "stop" else "length"


def usage(finished: Finished) -> dict[str, Any]:
    """Return the counts of an answer."""
    return {
        "prompt_tokens": finished.n_prompt,
        "completion_tokens": finished.n_gen,
        "total_tokens": finished.n_prompt + finished.n_gen,
        "prompt_tokens_details": {"cached_tokens": finished.n_cached},
    }
