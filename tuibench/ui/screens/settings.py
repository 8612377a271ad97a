"""All settings of a run, checked while they are typed."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Label, Static

from tuibench.core.run.presets import PRESETS as LOADS
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.screens.form import Form, problems_of, say
from tuibench.ui.text import settings as text
from tuibench.ui.text.settings import FIELDS, LISTS, OWN, PRESETS, SWITCHES, TYPED, Settings, SettingsError
from tuibench.ui.widgets.choice import Choice

_OF_A_LOAD = ("depth", "tokens", "users")
_LONGEST_LIST, _LONGEST_NUMBER = 200, 8


class SettingsScreen(Form[Settings]):
    """Gives the settings that were taken."""

    BINDINGS = bindings("settings")
    AUTO_FOCUS = "#tokens"

    def __init__(self, settings: Settings, n_cpus: int, told: Callable[[Settings], str]) -> None:
        """Begin with some settings.

        Args:
            settings: What stands in the fields at first.
            n_cpus: Most threads that make sense here.
            told: What settings amount to, in a line.
        """
        super().__init__()
        self._first, self._n_cpus, self._told = settings, n_cpus, told

    def compose(self) -> ComposeResult:
        """Lay out a line for each setting, and one for what is wrong with them."""
        with VerticalScroll(id="dialog", classes="settings", can_focus=False) as column:
            column.border_title = "Settings"
            column.border_subtitle = "enter takes them · tab next · esc cancels"
            with Horizontal():
                yield Label("preset", classes="name")
                yield Choice((*PRESETS, OWN), self._first.preset, id="preset")
            with Horizontal():
                yield Label("load", classes="name")
                yield Choice((TYPED, *LOADS, OWN), self._first.load, id="load")
                yield Label("the typed prompt, or a text this long", classes="explanation")
            for field, value in zip(FIELDS, text.texts(self._first).values(), strict=True):
                with Horizontal():
                    yield Label(field.name, classes="name")
                    longest = _LONGEST_LIST if field.name in LISTS else _LONGEST_NUMBER
                    yield Input(value, id=field.name, max_length=longest, compact=True, select_on_focus=True)
                    yield Label(field.explanation, classes="explanation")
            for name, explanation in SWITCHES.items():
                with Horizontal():
                    yield Label(name, classes="name")
                    yield Choice(("on", "off"), "on" if getattr(self._first, name) else "off", id=name)
                    yield Label(explanation, classes="explanation")
            yield Static(id="problem", markup=False)

    @on(Choice.Changed, "#preset")
    def use_preset(self, event: Choice.Changed) -> None:
        """Put the preset's numbers into the fields."""
        event.stop()
        if event.value in PRESETS:
            settings = self._first.with_preset(event.value)
            self._fill(settings, "tokens", "trials", "precision")
            self.query_one("#quality", Choice).value = "on" if settings.quality else "off"
        self.check()

    @on(Choice.Changed, "#load")
    def use_load(self, event: Choice.Changed) -> None:
        """Put the load's numbers into the fields."""
        event.stop()
        self._fill(self._first.with_load(event.value), "prompt", *(_OF_A_LOAD if event.value in LOADS else ()))
        self.check()

    def _fill(self, settings: Settings, *names: str) -> None:
        with self.prevent(Input.Changed):
            for name in names:
                self.query_one(f"#{name}", Input).value = text.texts(settings)[name]

    @on(Choice.Changed)
    def check_chosen(self, event: Choice.Changed) -> None:
        """Say what that amounts to."""
        event.stop()
        self.check()

    def check(self) -> None:
        """Say what is wrong with what was typed, and which preset the numbers are."""
        problems = problems_of(self, FIELDS, lambda name, value: text.check(name, value, self._n_cpus))
        try:
            settings = None if problems else self.filled()
        except SettingsError as error:  # each is right by itself, but not together
            settings = None
            problems.append(str(error))
        if settings is None:
            say(self, "\n".join(problems), wrong=True)
            return
        say(self, self._told(settings), wrong=False)
        self.query_one("#preset", Choice).value = settings.preset
        self.query_one("#load", Choice).value = settings.load

    def filled(self) -> Settings:
        """Return the settings."""
        fields = {field.name: self.query_one(f"#{field.name}", Input).value for field in FIELDS}
        switches = {name: self.query_one(f"#{name}", Choice).value == "on" for name in SWITCHES}
        return text.parse(fields, switches, self._n_cpus)
