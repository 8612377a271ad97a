"""The command palette's answers beyond the built-in ones: methods and sessions by name."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tuibench.core import format as fmt
from tuibench.ui.messages import MethodToggled, SessionChosen

if TYPE_CHECKING:
    from tuibench.store.catalogue import SessionSummary
    from tuibench.ui.services import Context, Services


def _services(provider: Provider) -> Services:
    context: Context = provider.app.context  # type: ignore[attr-defined] # palette of this app only
    return context.services


class MethodCommands(Provider):
    """Select or deselect a method."""

    async def discover(self) -> Hits:
        """Offer all methods."""
        for name, label, explanation in self._rows():
            yield DiscoveryHit(label, partial(self._toggle, name), help=explanation)

    async def search(self, query: str) -> Hits:
        """Offer the methods that match."""
        matcher = self.matcher(query)
        for name, label, explanation in self._rows():
            if (score := matcher.match(label)) > 0:
                yield Hit(score, matcher.highlight(label), partial(self._toggle, name), help=explanation)

    def _rows(self) -> list[tuple[str, str, str]]:
        methods = _services(self).methods()
        return [(name, f"Method: {name}", method.explanation) for name, method in methods.items()]

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
                yield Hit(score, matcher.highlight(label), open_it, help=f"{session.created:%Y-%m-%d %H:%M}")
