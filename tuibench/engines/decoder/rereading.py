"""Texts whose positions are all rotated otherwise once they are longer than a certain length (LongRoPE).

A key in a cache keeps the rotation of the length at which it was computed. Beyond that length a pass over the whole
text would rotate all keys anew, and so must whoever keeps them: the text is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits


class Session(Protocol):
    """A model with its cache, which rotates by the length of what it is given to read or to score."""

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits: ...
    def extend(self, token_ids: Sequence[int]) -> Logits: ...
    def keep(self, n_tokens: int, max_length: int) -> bool: ...
    def decode(self, token_id: int) -> Logits: ...
    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]: ...


class Steps(Session, Protocol):
    """One that takes several tokens at once and can forget them; see `lookup.Steps`."""

    def append(self, token_ids: Sequence[int]) -> NDArray[np.float32]: ...
    def rollback(self, n_tokens: int) -> None: ...


class Rereading:
    """A session that reads its text again when its length comes to ask for other angles."""

    def __init__(self, session: Session, switching_length: int) -> None:
        self._session = session
        self._switch = switching_length
        self._text: list[int] = []
        self._max_length = 0
        self._long = False

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        self._text, self._max_length = list(token_ids), max_length
        return self._read()

    def extend(self, token_ids: Sequence[int]) -> Logits:
        self._text += token_ids
        return self._session.extend(token_ids) if self._is_right(len(self._text)) else self._read()

    def keep(self, n_tokens: int, max_length: int) -> bool:
        """Forget all but the first tokens, unless these would have to be read again: their keys have other angles."""
        kept = self._is_right(n_tokens) and self._session.keep(n_tokens, max_length)
        if kept:
            del self._text[n_tokens:]
            self._max_length = max_length
        return kept

    def decode(self, token_id: int) -> Logits:
        self._text.append(token_id)
        return self._session.decode(token_id) if self._is_right(len(self._text)) else self._read()

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits at every position; beyond the switching length one at a time, as decoding gives them."""
        yield from self._session.score(token_ids[: self._switch])
        if len(token_ids) > self._switch:
            yield self.prefill(token_ids[: self._switch + 1], len(token_ids))[None]
            for token_id in token_ids[self._switch + 1 :]:
                yield self.decode(token_id)[None]

    def _is_right(self, length: int) -> bool:
        """Return whether the keys in the cache are rotated as a text of this length asks for."""
        return (length > self._switch) == self._long

    def _read(self) -> Logits:
        self._long = len(self._text) > self._switch
        return self._session.prefill(self._text, self._max_length)


class RereadingSteps(Rereading):
    """The same for a session that takes several tokens at once."""

    def __init__(self, session: Steps, switching_length: int) -> None:
        super().__init__(session, switching_length)
        self._steps = session

    def append(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens; one by one where they do not all have the same angles."""
        start = len(self._text)
        if not (self._is_right(start + 1) and self._is_right(start + len(token_ids))):
            return np.stack([self.decode(token_id).copy() for token_id in token_ids])
        self._text += token_ids
        return self._steps.append(token_ids)

    def rollback(self, n_tokens: int) -> None:
        """Forget the last tokens."""
        del self._text[len(self._text) - n_tokens :]
        self._steps.rollback(n_tokens)
