"""What a run that is over amounts to, and the keys to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual.content import Content
from textual.events import Click
from textual.reactive import reactive
from textual.widget import Widget

from tuibench.ui.text.result import Result
from tuibench.ui.widgets.key_line import Shown, fitting

if TYPE_CHECKING:
    from textual.geometry import Size

_MOST_LINES = 3
"""Of the sentence."""
KEYS: Mapping[str, str] = {
    "run.compare": "why",
    "run.resume": "more trials",
    "run.details": "details",
    "run.report": "report",
    "run.take": "use it",
}
"""What follows from a result, by the ids of the keys, and what they are called here."""


class ResultStrip(Widget):
    """Shown as long as there is a result and nothing runs; its keys are the screen's."""

    result: reactive[Result | None] = reactive(None, layout=True)
    n_more: reactive[int | None] = reactive(None)
    """Trials of each method that the key for more would take; None where it goes on with what is missing."""

    def __init__(self) -> None:
        super().__init__(id="result", classes="box")
        self.border_title = "Result"

    def watch_result(self, result: Result | None) -> None:
        """Come and go with the result; the lamp goes into the border."""
        self.set_class(result is not None, "-told")
        if result is not None:
            text, style = result.lamp
            self.border_title = Content.assemble("Result · ", (text, style))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Have room for the sentence and a line of keys."""
        del container, viewport
        return len(self._sentence(width)) + 1

    def _sentence(self, width: int) -> list[Content]:
        if self.result is None:
            return []
        lines = list(self.result.sentence.wrap(max(1, width)))
        if len(lines) > _MOST_LINES:
            lines = [*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1].truncate(max(1, width - 1)).append("…")]
        return lines

    def _keys(self) -> list[Shown]:
        labels = dict(KEYS)
        labels["run.resume"] = "go on" if self.n_more is None else f"{self.n_more} more trials"
        found = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.id in labels and binding.id not in found:
                found[binding.id] = Shown(binding.key, self.app.get_key_display(binding), labels[binding.id])
        return [found[id_] for id_ in labels if id_ in found]

    def _laid_out(self) -> list[tuple[int, Shown]]:
        keys, gap = fitting(self._keys(), self.content_size.width)
        placed, at = [], 0
        for key in keys:
            placed.append((at, key))
            at += key.width + gap + 1
        return placed

    def render(self) -> Content:
        """Write the sentence, then the keys."""
        line, width = Content(), 0
        for at, key in self._laid_out():
            line = line.append(" " * (at - width)).append(
                Content.assemble((key.display, "$footer-key-foreground"), (f" {key.label}", "$muted"))
            )
            width = at + key.width
        return Content("\n").join([*self._sentence(self.content_size.width), line])

    def on_click(self, event: Click) -> None:
        """Press the key that was clicked on."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y != len(self._sentence(self.content_size.width)):
            return
        for at, key in self._laid_out():
            if at <= offset.x < at + key.width:
                self.app.simulate_key(key.key)
