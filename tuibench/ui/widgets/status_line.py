"""The first line: what is measured, on what, and how far it is."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.reactive import var
from textual.widgets import Static


class StatusLine(Horizontal):
    """Facts on the left, cut with an ellipsis where there is no room; the state on the right, always whole."""

    facts: var[tuple[str, ...]] = var(())
    state: var[str] = var("")
    _n_shown = -1

    def compose(self) -> ComposeResult:
        """Lay out both ends."""
        yield Static(id="facts", markup=False)
        yield Static(id="state", markup=False)

    def watch_facts(self, facts: tuple[str, ...]) -> None:
        """Write the left end."""
        if self.is_mounted:
            head, *rest = facts or ("",)
            text = Content.assemble(("tuibench", "bold $accent"), "  ", (head, "$foreground"))
            self.query_one("#facts", Static).update(text.append_text("".join(f" · {fact}" for fact in rest), "$muted"))

    def watch_state(self, state: str) -> None:
        """Write the right end."""
        if self.is_mounted:
            # A text of another length moves its neighbour; the seconds of a clock do not.
            self.query_one("#state", Static).update(state, layout=len(state) != self._n_shown)
            self._n_shown = len(state)

    def on_mount(self) -> None:
        """Write what was set before the parts existed."""
        self.watch_facts(self.facts)
        self.watch_state(self.state)
