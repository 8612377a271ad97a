"""Searching and sorting a list of sessions. Pure: no Textual."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tuibench.core import format as fmt

if TYPE_CHECKING:
    from tuibench.store.catalogue import SessionSummary


def _recorded(session: SessionSummary) -> tuple[float, str]:
    return (session.created.timestamp() if session.created else 0.0, session.path.name)


@dataclass(frozen=True, slots=True)
class SortKey:
    """Something that sessions can be sorted by."""

    id: str
    key: Callable[[SessionSummary], Any]
    descending: bool = False
    """Which way round is looked for first: the newest, the fastest, the most; but names from A."""


SORTED_BY = (
    SortKey("recorded", _recorded, descending=True),
    SortKey("name", lambda session: session.title.casefold()),
    SortKey("fastest", lambda session: session.fastest[1] if session.fastest else 0.0, descending=True),
    SortKey("trials", lambda session: session.n_trials, descending=True),
    SortKey("model", lambda session: session.model.casefold()),
)


@dataclass(frozen=True, slots=True)
class Order:
    """The column that a list is sorted by, and which way round."""

    column: int = 0
    turned: bool = False

    def next(self) -> Order:
        """Return the order by the next column."""
        return Order((self.column + 1) % len(SORTED_BY))

    def turn(self) -> Order:
        """Return the opposite order."""
        return replace(self, turned=not self.turned)

    @property
    def label(self) -> str:
        """The column and an arrow that points to where values grow."""
        column = SORTED_BY[self.column]
        return f"{column.id} {'▼' if column.descending != self.turned else '▲'}"

    def sort(self, sessions: Iterable[SessionSummary]) -> list[SessionSummary]:
        """Return the sessions in this order, equal ones newest first."""
        column = SORTED_BY[self.column]
        newest_first = sorted(sessions, key=_recorded, reverse=True)
        return sorted(newest_first, key=column.key, reverse=column.descending != self.turned)


def search(sessions: Iterable[SessionSummary], query: str) -> list[SessionSummary]:
    """Return the sessions in which every word of the query is found; `#word` is found among tags only."""
    words = query.casefold().split()
    return [session for session in sessions if _has_all(session, words)]


def _has_all(session: SessionSummary, words: list[str]) -> bool:
    created = fmt.moment(session.created) if session.created else "damaged"
    facts = (session.model, session.cpu, *session.methods, created, session.path.stem)
    parts = (session.name, session.prompt, session.note, *facts)
    tags = " ".join(f"#{tag}" for tag in session.tags)
    text = f"{tags} {' '.join(parts)} {'damaged' if session.problem else ''}".casefold()
    return all(word in (tags if word.startswith("#") else text) for word in words)
