"""What is known of one stored session, beside the list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from tuibench.core import format as fmt

if TYPE_CHECKING:
    from tuibench.store.catalogue import SessionSummary
    from tuibench.ui.look.series import SeriesMap

_BAR = 9
_VALUE = len(" 12.3 tok/s ")
"""Cells of a speed and the blanks around it."""


class SessionCard(Static):
    """Describes the session under the cursor: the speeds as bars, what was noted, what is wrong with the file."""

    def __init__(self, series: SeriesMap) -> None:
        super().__init__(markup=False)
        self._series = series
        self.session: SessionSummary | None = None
        self.border_title = "Session"

    def describe(self, session: SessionSummary) -> None:
        """Describe a session, in the colours that its methods have now."""
        self.session = session
        self.update(Content("\n").join(self._lines(session)))

    def empty(self, text: str) -> None:
        """Say what to do where there is no session to describe."""
        self.session = None
        self.update(text)

    def _lines(self, session: SessionSummary) -> list[Content]:
        lines = [Content.styled(fmt.printable(session.title), "bold")]
        if session.problem is not None:
            lines.append(Content.styled(fmt.printable(session.problem), "$error"))
        if session.tags:
            lines.append(Content.styled(" ".join(f"#{fmt.printable(tag)}" for tag in session.tags), "$accent"))
        if session.note:
            lines.append(Content(fmt.printable(session.note)))
        if session.readable:
            lines += [Content(), *self._speeds(session), Content(), *self._facts(session)]
        lines.append(Content.styled(fmt.printable(session.path.name), "$muted"))
        return lines

    def _speeds(self, session: SessionSummary) -> list[Content]:
        """One line for each method, the fastest first."""
        largest = max(session.decode_tps.values(), default=0.0)
        width = max(map(len, session.methods), default=0)
        room = self.content_size.width - width - _VALUE
        longest = max(1, min(_BAR, room)) if self.content_size.width else _BAR  # one that wraps would look like a row
        lines = []
        for method in sorted(session.methods, key=lambda name: -session.decode_tps.get(name, 0.0)):
            speed = session.decode_tps.get(method)
            bar = "█" * max(1, round(longest * speed / largest)) if speed and largest else ""
            label = fmt.printable(method).ljust(width)
            value = f"{fmt.rate(speed) if session.complete else '…':>{_VALUE - 2}} "
            lines.append(Content.assemble(f"{label} {value}", (bar, self._series.variable(method))))
        return lines

    @staticmethod
    def _facts(session: SessionSummary) -> list[Content]:
        trials = fmt.counted(session.n_trials, "trial") if session.complete else "reading…"
        facts = (fmt.printable(session.model), fmt.printable(session.cpu), f"{fmt.moment(session.created)} · {trials}")
        return [Content.styled(fact, "$muted") for fact in facts if fact]
