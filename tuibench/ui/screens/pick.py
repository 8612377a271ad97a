"""What to search for: the fastest method that keeps some limits."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Label, Static

from tuibench.core.run.limits import Limits, limits_line
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.screens.form import Form, problems_of, say
from tuibench.ui.text import limits as text
from tuibench.ui.text.limits import DEFAULT_PRESET, FIELDS, PRESETS
from tuibench.ui.text.settings import OWN
from tuibench.ui.widgets.choice import Choice

LADDER, CHOSEN, ALL = "ladder", "chosen", "all"


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for."""

    limits: Limits
    among: str
    """`ladder`, `chosen`, or `all` that can be used here."""


class PickScreen(Form[Search]):
    """Gives the limits that were taken."""

    BINDINGS = bindings("pick")
    AUTO_FOCUS = "#preset"

    def compose(self) -> ComposeResult:
        """Lay out a line for each limit, and what they amount to."""
        with VerticalScroll(id="dialog", classes="settings", can_focus=False) as column:
            column.border_title = "Pick the fastest within limits"
            column.border_subtitle = "enter searches · tab next · esc cancels"
            with Horizontal():
                yield Label("preset", classes="name")
                yield Choice((*PRESETS, OWN), DEFAULT_PRESET, id="preset")
            for field, value in zip(FIELDS, text.texts(PRESETS[DEFAULT_PRESET]).values(), strict=True):
                with Horizontal():
                    yield Label(field.name, classes="name")
                    yield Input(value, id=field.name, max_length=12, compact=True, select_on_focus=True)
                    yield Label(field.explanation, classes="explanation")
            with Horizontal():
                yield Label("among", classes="name")
                yield Choice((LADDER, CHOSEN, ALL), LADDER, id="among")
                yield Label("which methods may be the answer", classes="explanation")
            yield Static(id="problem", markup=False)

    @on(Choice.Changed, "#preset")
    def use_preset(self, event: Choice.Changed) -> None:
        """Put the preset's numbers into the fields."""
        event.stop()
        if event.value in PRESETS:
            with self.prevent(Input.Changed):
                for name, value in text.texts(PRESETS[event.value]).items():
                    self.query_one(f"#{name}", Input).value = value
        self.check()

    def check(self) -> None:
        """Say what is wrong with what was typed, and which preset the numbers are."""
        if problems := problems_of(self, FIELDS, text.number):
            say(self, "\n".join(problems), wrong=True)
            return
        limits = self._limits()
        say(self, f"{limits_line(limits)} · short trials first, then only what may still win", wrong=False)
        self.query_one("#preset", Choice).value = text.preset_of(limits)

    def filled(self) -> Search:
        """Return what to search for."""
        return Search(self._limits(), self.query_one("#among", Choice).value)

    def _limits(self) -> Limits:
        return text.parse({field.name: self.query_one(f"#{field.name}", Input).value for field in FIELDS})
