"""All settings of a run, checked while they are typed."""

from __future__ import annotations

from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from tuibench.core import format as fmt
from tuibench.core.run.presets import PRESETS as LOADS
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.text import settings as text
from tuibench.ui.text.settings import FIELDS, OWN, PRESETS, SWITCHES, TYPED, Settings, SettingsError
from tuibench.ui.widgets.choice import Choice


class SettingsScreen(ModalScreen[Settings | None]):
    """Gives the settings that were taken."""

    BINDINGS = bindings("settings")
    AUTO_FOCUS = "#tokens"

    def __init__(self, settings: Settings, n_cpus: int) -> None:
        """Begin with some settings.

        Args:
            settings: What stands in the fields at first.
            n_cpus: Most threads that make sense here.
        """
        super().__init__()
        self._first, self._n_cpus = settings, n_cpus

    def compose(self) -> ComposeResult:
        """Lay out a line for each setting, and one for what is wrong with them."""
        with VerticalScroll(id="dialog", classes="settings", can_focus=False) as column:
            column.border_title = "Settings"
            column.border_subtitle = "enter takes them · tab next · esc leaves them"
            with Horizontal():
                yield Label("preset", classes="name")
                yield Choice((*PRESETS, OWN), self._first.preset, id="preset")
            with Horizontal():
                yield Label("load", classes="name")
                yield Choice((TYPED, *LOADS), self._first.load or TYPED, id="load")
                yield Label("the typed prompt, or so much text", classes="explanation")
            for field, value in zip(FIELDS, text.texts(self._first).values(), strict=True):
                with Horizontal():
                    yield Label(field.name, classes="name")
                    yield Input(value, id=field.name, max_length=8, compact=True, select_on_focus=True)
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
            with self.prevent(Input.Changed):
                for name in ("tokens", "trials", "precision"):
                    self.query_one(f"#{name}", Input).value = text.texts(settings)[name]
            self.query_one("#quality", Choice).value = "on" if settings.quality else "off"
        self._check()

    @on(Choice.Changed, "#load")
    def use_load(self, event: Choice.Changed) -> None:
        """Put the load's output length into its field."""
        event.stop()
        if event.value in LOADS:
            self.query_one("#tokens", Input).value = str(LOADS[event.value].max_new_tokens)
        self._check()

    @on(Choice.Changed)
    @on(Input.Changed)
    def check(self, event: Choice.Changed | Input.Changed) -> None:
        """Say what is wrong with what was typed, and which preset the numbers are."""
        event.stop()
        self._check()

    def _check(self) -> None:
        problems = []
        for field in FIELDS:
            entry = self.query_one(f"#{field.name}", Input)
            try:
                text.number(field.name, entry.value, self._n_cpus)
                entry.remove_class("-wrong")
            except SettingsError as error:
                entry.add_class("-wrong")
                problems.append(str(error))
        self.query_one("#problem", Static).update(fmt.printable("\n".join(problems)))
        if not problems:
            self.query_one("#preset", Choice).value = self._read().preset

    def _read(self) -> Settings:
        fields = {field.name: self.query_one(f"#{field.name}", Input).value for field in FIELDS}
        switches = {name: self.query_one(f"#{name}", Choice).value == "on" for name in SWITCHES}
        load = self.query_one("#load", Choice).value
        return replace(text.parse(fields, switches, self._n_cpus), load="" if load == TYPED else load)

    @on(Input.Submitted)
    def take_from_field(self, event: Input.Submitted) -> None:
        """Take them."""
        event.stop()
        self.action_take()

    def action_take(self) -> None:
        """Take the settings, unless something is wrong with them: that is said already."""
        try:
            self.dismiss(self._read())
        except SettingsError:
            self._check()

    def action_close(self) -> None:
        """Leave them as they were."""
        self.dismiss(None)
