"""What a run that is over amounts to, and the keys to go on with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual.content import Content
from textual.events import Click
from textual.reactive import reactive
from textual.widget import Widget

from tuibench.core import format as fmt
from tuibench.ui.keys.active import rare_keys
from tuibench.ui.text.result import Result
from tuibench.ui.widgets.key_line import Shown, fitting

if TYPE_CHECKING:
    from textual.geometry import Size

_MOST_LINES = 3
"""Of the sentence."""
_END = "\n"
_INTERVAL, _JOINT = re.compile(r"\[[^\[\]]*\]"), "\ue000"
"""What stays together, and what stands in for its spaces meanwhile: of no use otherwise, and as wide."""
_OTHERS = "↓ j: why each other method is not the answer"
KEYS: Mapping[str, str] = {
    "run.compare": "why",
    "run.resume": "more trials",
    "run.details": "details",
    "run.report": "report",
    "run.take": "use it",
}
"""What follows from a result, by the ids of the keys, and what they are called here."""


def _wrapped(sentence: Content, width: int) -> list[Content]:
    """Return the lines of a sentence; none of its intervals is broken."""
    joined = _INTERVAL.sub(lambda found: found[0].replace(" ", _JOINT), sentence.plain)
    lines = Content(joined, list(sentence.spans)).wrap(width)
    return [Content(line.plain.replace(_JOINT, " "), list(line.spans)) for line in lines]


class ResultStrip(Widget):
    """Shown as long as there is a result and nothing runs; its keys are the screen's."""

    result: reactive[Result | None] = reactive(None, layout=True)
    n_more: reactive[int | None] = reactive(None)
    """Trials of each method that the key for more would take; None where it goes on with what is missing."""
    pointed: reactive[str | None] = reactive(None)
    """The method that is looked at: of a search, the strip says why it is not the answer."""

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
        """Have room for the sentence, why a method fell out, and a line of keys."""
        del container, viewport
        return len(self._told(width)) + 1

    def _told(self, width: int) -> list[Content]:
        if self.result is None or not self.result.whys:
            return self._sentence(width)
        why = self.result.whys.get(self.pointed or "")
        text = f"{fmt.printable(self.pointed or '')}: {why.partition(_END)[0]}" if why else _OTHERS
        return [*self._sentence(width), Content.styled(text, "" if why else "$muted").truncate(width, ellipsis=True)]

    def _sentence(self, width: int) -> list[Content]:
        if self.result is None:
            return []
        lines = _wrapped(self.result.sentence, max(1, width))
        if len(lines) > _MOST_LINES:
            lines = [*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1].truncate(max(1, width - 1)).append("…")]
        return lines

    def _keys(self) -> list[Shown]:
        labels = dict(KEYS)
        labels["run.resume"] = "go on" if self.n_more is None else f"{self.n_more} more trials"
        found: dict[str, Shown] = {}
        useful = labels.keys() - rare_keys(self.screen)
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.id in useful and binding.id not in found:
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
        return Content("\n").join([*self._told(self.content_size.width), line])

    def on_click(self, event: Click) -> None:
        """Press the key that was clicked on."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y != len(self._told(self.content_size.width)):
            return
        for at, key in self._laid_out():
            if at <= offset.x < at + key.width:
                self.app.simulate_key(key.key)
