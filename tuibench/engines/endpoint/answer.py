"""What an answer of the completions or the chat API says, event by event."""

from __future__ import annotations

from typing import Any

from tuibench.core.run.endpoint import Api
from tuibench.engines.base import StreamOutcome

_NAME_CHARS, _MOST_NUMBERS = 40, 32


class Answer:
    """One generation as far as it has come."""

    def __init__(self, api: Api) -> None:
        """Say which API it is of."""
        self._api = api
        self._n_prompt: int | None = None
        self._n_gen: int | None = None
        self._n_cached: int | None = None
        self._finish: str | None = None
        self._reasoned = False
        self._timings: tuple[str, ...] = ()
        self.understood = False
        """Whether any event was one of this API."""
        self.served_model: str | None = None
        """The model as the server calls it."""
        self.build: str | None = None
        """What it calls itself."""

    @property
    def finished(self) -> bool:
        """Whether the server said that the generation is over."""
        return self._finish is not None

    def outcome(self) -> StreamOutcome:
        """Return what is known of it."""
        return StreamOutcome(
            n_prompt=self._n_prompt,
            n_gen=self._n_gen,
            n_cached=self._n_cached,
            stopped=self._finish == "stop",
            timings=self._timings,
            reasoned=self._reasoned,
        )

    def take(self, event: dict[str, Any]) -> tuple[str, int | None]:
        """Take an event, and return its text and the tokens in it; None where that is not told."""
        before = self._n_gen or 0
        counted = self._count(event)
        self.served_model = _string(event.get("model")) or self.served_model
        self.build = _string(event.get("system_fingerprint")) or self.build
        text = ""
        self.understood |= isinstance(event.get("choices"), list)
        for choice in _list(event.get("choices")):
            text += self._text(_table(choice))
            finish = _table(choice).get("finish_reason")
            self._finish = finish if isinstance(finish, str) else self._finish
        n_tokens = (self._n_gen or 0) - before if counted else 0
        return text, n_tokens if text and n_tokens > 0 else None  # Ollama sends a count of 0 with each piece

    def _text(self, choice: dict[str, Any]) -> str:
        if self._api == "completions":
            return _string(choice.get("text"))
        delta = _table(choice.get("delta"))
        # vLLM, SGLang and llama-server call it the first, Ollama and vLLM since 0.12 the second.
        reasoning = _string(delta.get("reasoning_content")) or _string(delta.get("reasoning"))
        self._reasoned |= bool(reasoning)
        return reasoning + _string(delta.get("content"))

    def _count(self, event: dict[str, Any]) -> bool:
        """Take the counts of an event; return whether it has the tokens generated so far."""
        usage, timings = _table(event.get("usage")), _table(event.get("timings"))
        details = _table(usage.get("prompt_tokens_details"))
        n_gen = _whole(usage.get("completion_tokens"))
        self._n_prompt = _first(_whole(usage.get("prompt_tokens")), self._n_prompt)
        self._n_cached = _first(_whole(details.get("cached_tokens")), _whole(timings.get("cache_n")), self._n_cached)
        self._n_gen = _first(n_gen, self._n_gen)
        self._timings = _numbers(timings) or self._timings
        return n_gen is not None


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _numbers(timings: dict[str, Any]) -> tuple[str, ...]:
    """Return what llama-server tells of its own times, which are milliseconds and counts."""
    found = ((name, value) for name, value in timings.items() if name.isidentifier() and len(name) <= _NAME_CHARS)
    numbers = [f"{name}: {value:.12g}" for name, value in found if type(value) in {int, float}]
    return tuple(numbers[:_MOST_NUMBERS])


def _whole(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
