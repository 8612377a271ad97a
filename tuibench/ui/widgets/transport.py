"""Where a replay is, and how fast it goes."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tuibench.core.format import clock


class Transport(Widget):
    """`▶ 0:12 ━━━━━━━─────── 1:03  1×`."""

    state: reactive[tuple[bool, float, float, float]] = reactive((False, 0.0, 0.0, 1.0))
    """Playing, position and length in seconds, speed."""

    def render(self) -> Content:
        """Draw the row."""
        playing, at_s, whole_s, speed = self.state
        left = f" {'▶' if playing else '‖'} {clock(at_s)} "
        right = f" {clock(whole_s)}  {speed:g}× "
        room = max(0, self.size.width - len(left) - len(right))
        filled = round(room * min(1.0, at_s / whole_s)) if whole_s else 0
        return Content.assemble(
            (left, "bold $accent"), ("━" * filled, "$primary"), ("─" * (room - filled), "$line"), (right, "$muted")
        )
