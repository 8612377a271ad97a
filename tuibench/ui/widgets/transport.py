"""Where a race is, how fast it goes, and where texts begin to differ."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget


class Transport(Widget):
    """`▶ 0:12.4 ━━━━━◆━─────── 1:03.0  1×`."""

    state: reactive[tuple[bool, float, float, float]] = reactive((False, 0.0, 0.0, 1.0))
    """Playing, position and length in seconds, speed."""

    marks: reactive[tuple[float, ...]] = reactive(())
    """Places on the bar, as shares of its length."""

    def render(self) -> Content:
        """Draw the row."""
        playing, at_s, whole_s, speed = self.state
        left = f" {'▶' if playing else '‖'} {_clock(at_s)} "
        right = f" {_clock(whole_s)}  {speed:g}× "
        room = max(0, self.size.width - len(left) - len(right))
        filled = round(room * min(1.0, at_s / whole_s)) if whole_s else 0
        marked = {min(room - 1, int(share * room)) for share in self.marks}
        parts: list[tuple[str, str]] = [(left, "bold $accent")]
        for x in range(room):
            char, style = ("━", "$primary") if x < filled else ("─", "$line")
            parts.append(("◆", "$warning") if x in marked else (char, style))
        return Content.assemble(*parts, (right, "$muted"))


def _clock(seconds: float) -> str:
    """Return minutes, seconds and tenths: a race is over in seconds."""
    tenths = int(seconds * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
