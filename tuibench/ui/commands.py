"""The command palette's answers: what the screen can do, methods, sessions and pages of the manual."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape
from textual.system_commands import SystemCommandsProvider

from tuibench.core import format as fmt
from tuibench.topics import text, topics
from tuibench.ui.messages import MethodToggled, PageWanted, SessionChosen
from tuibench.ui.text.excerpt import excerpt

_LEAST_WORD = 3
"""Letters of what is looked for within the manual's pages: fewer are on all of them."""
_SCORE_TITLE, _SCORE_WITHIN = 0.5, 0.1
"""What can be done comes first, then pages that are called so, then those that have the words somewhere."""
_BESIDE_TEXT = 6
"""Cells of a line of the palette that are its margins and the scroll bar."""

if TYPE_CHECKING:
    from tuibench.store.catalogue import SessionSummary
    from tuibench.ui.context import Context
    from tuibench.ui.services import Services


def _services(provider: Provider) -> Services:
    context: Context = provider.app.context  # type: ignore[attr-defined] # palette of this app only
    return context.services


class ScreenCommands(SystemCommandsProvider):
    """What the app has to offer, in its order: Textual's own provider lists everything by the alphabet."""

    async def discover(self) -> Hits:
        """Offer all commands."""
        for title, explanation, callback, is_discovered in self.app.get_system_commands(self.screen):
            if is_discovered:
                yield DiscoveryHit(title, callback, help=escape(explanation))


class _LaterHit(DiscoveryHit):
    """Stands below all that Textual scores alike, which providers yield as it comes."""

    @property
    def score(self) -> float:
        return -1.0


class MethodCommands(Provider):
    """Select or deselect a method."""

    async def discover(self) -> Hits:
        """Offer all methods, after what the screen can do."""
        for name, label, explanation in self._rows():
            yield _LaterHit(label, partial(self._toggle, name), help=explanation)

    async def search(self, query: str) -> Hits:
        """Offer the methods that match."""
        matcher = self.matcher(query)
        for name, label, explanation in self._rows():
            if (score := matcher.match(label)) > 0:
                yield Hit(score, matcher.highlight(label), partial(self._toggle, name), help=explanation)

    def _rows(self) -> list[tuple[str, str, str]]:
        methods = _services(self).methods()
        return [(name, f"Method: {name}", escape(method.explanation)) for name, method in methods.items()]

    def _toggle(self, name: str) -> None:
        self.app.post_message(MethodToggled(name))


class SessionCommands(Provider):
    """Open a stored session."""

    async def startup(self) -> None:
        """Read the folders once per opening of the palette."""
        found: list[SessionSummary] = await asyncio.to_thread(_services(self).sessions, 0)
        self._sessions = [session for session in found if session.readable]

    async def search(self, query: str) -> Hits:
        """Offer the sessions that match."""
        matcher = self.matcher(query)
        for session in self._sessions:
            label = f"Session: {fmt.printable(session.title)}"
            if (score := matcher.match(label)) > 0:
                open_it = partial(self.app.post_message, SessionChosen(session.path))
                yield Hit(score, matcher.highlight(label), open_it, help=fmt.moment(session.created))


class ManualCommands(Provider):
    """Open a page of the manual: by its title, or by words in it."""

    async def search(self, query: str) -> Hits:
        """Offer the pages that match."""
        matcher, words = self.matcher(query), query.casefold().strip()
        width = self.app.size.width - _BESIDE_TEXT
        for page in topics():
            label = f"Manual: {page.title}"
            open_it = partial(self.app.post_message, PageWanted(page.name))
            if words in page.title.casefold():  # letters strewn over a title are no reason to read the page
                score, where = _SCORE_TITLE * matcher.match(label), f"`tuibench help {page.name}`"
                yield Hit(score, matcher.highlight(label), open_it, help=where)
            elif len(words) >= _LEAST_WORD and (found := excerpt(words, text(page.name), width)):
                yield Hit(_SCORE_WITHIN, label, open_it, help=escape(found))
