"""One row: what is going on, how far it is, how long it will take."""

from __future__ import annotations

from textual.reactive import var

from tuibench.core.format import clock
from tuibench.ui.widgets.plain_lines import PartRows, Row

_SHORTEST_BAR = 4


class ProgressLine(PartRows):
    """`trial 2/3 · decode ━━━━━━━────── 41/64 · 0:08 left`. It moves only when its state does."""

    state: var[tuple[str, int, int | None, float | None]] = var(("waiting", 0, None, None))
    """Label, steps done, steps in all, seconds left."""

    def watch_state(self) -> None:
        """Draw the row unless it says the same."""
        if self.is_mounted:
            self.redraw()

    def rows(self) -> list[Row]:
        """Return the row, the bar taking the room that the words leave."""
        label, done, total, eta_s = self.state
        left = f"{label}  "
        right = "" if total is None else f"  {done}/{total}"
        if eta_s is not None:
            right += f" · {clock(eta_s)} left"
        room = self.size.width - len(left) - len(right)
        if total is None or room < _SHORTEST_BAR:
            return [((left, "$foreground"), (right, "$muted"))]
        filled = round(room * min(done, total) / total) if total else 0
        return [((left + "━" * filled, ""), ("─" * (room - filled), "$line"), (right, "$muted"))]
