"""How much is measured: a preset, and the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Label

from tuibench.core import format as fmt
from tuibench.ui.widgets.choice import Choice

_OWN = "own"


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings under a name."""

    max_new_tokens: int
    n_trials: int
    quality: bool
    precision: float | None = None
    """How well each decode speed shall be known, as a fraction; more trials are taken until it is."""


PRESETS = {
    "quick": Preset(48, 1, quality=False),
    "standard": Preset(128, 3, quality=True),
    "thorough": Preset(256, 5, quality=True, precision=0.02),
}
DEFAULT_PRESET = "standard"


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers that were checked."""

    max_new_tokens: int
    n_trials: int
    n_threads: int
    quality: bool = False
    precision: float | None = None


class SettingsError(ValueError):
    """A number cannot be used; the message says which, why, and what to do."""


class SettingsForm(Vertical):
    """A few small fields. What is in them is checked when a run is asked for: typing is never in the way."""

    @dataclass
    class Changed(Message):
        """Something else is asked for."""

    def __init__(self) -> None:
        super().__init__(id="settings")
        self.border_title = "Settings"
        self._n_cpus = 1
        preset = PRESETS[DEFAULT_PRESET]
        self._first = {"tokens": str(preset.max_new_tokens), "trials": str(preset.n_trials), "threads": ""}
        """What stands in the fields before the machine is known."""

    def compose(self) -> ComposeResult:
        """Lay out the choices, then label and field, three times."""
        with Horizontal(classes="choices"):
            yield Label("preset")
            yield Choice((*PRESETS, _OWN), DEFAULT_PRESET, id="preset")
            yield Label("quality")
            yield Choice(("on", "off"), "on", id="quality")
        with Horizontal(classes="numbers"):
            for name, value in self._first.items():
                yield Label(name)
                yield Input(value, id=name, type="integer", max_length=5, compact=True, select_on_focus=True)

    def use_machine(self, *, n_threads: int, n_cpus: int) -> None:
        """Set what the machine allows and wants."""
        self._n_cpus = n_cpus
        self.query_one("#threads", Input).value = str(n_threads)

    def ask_for(self, *, max_new_tokens: int, n_trials: int, n_threads: int, quality: bool) -> None:
        """Put other numbers into the fields."""
        self.query_one("#quality", Choice).value = "on" if quality else "off"
        for name, value in (("tokens", max_new_tokens), ("trials", n_trials), ("threads", n_threads)):
            self.query_one(f"#{name}", Input).value = str(value)

    @on(Choice.Changed, "#preset")
    def use_preset(self, event: Choice.Changed) -> None:
        """Put the preset's numbers into the fields."""
        event.stop()
        preset = PRESETS.get(event.value)
        if preset is not None:
            with self.prevent(Input.Changed):
                self.query_one("#tokens", Input).value = str(preset.max_new_tokens)
                self.query_one("#trials", Input).value = str(preset.n_trials)
            self.query_one("#quality", Choice).value = "on" if preset.quality else "off"
        self.post_message(self.Changed())

    @on(Choice.Changed, "#quality")
    @on(Input.Changed, "#tokens, #trials")
    def leave_preset(self, event: Choice.Changed | Input.Changed) -> None:
        """Say that these numbers are no longer a preset's."""
        event.stop()
        self.query_one("#preset", Choice).value = self._preset_of_fields()
        self.post_message(self.Changed())

    @on(Input.Changed, "#threads")
    def tell(self, event: Input.Changed) -> None:
        """Tell that something else is asked for."""
        event.stop()
        self.post_message(self.Changed())

    def _preset_of_fields(self) -> str:
        now = (self._text("tokens"), self._text("trials"), self.query_one("#quality", Choice).value == "on")
        found = (
            name
            for name, preset in PRESETS.items()
            if (str(preset.max_new_tokens), str(preset.n_trials), preset.quality) == now
        )
        return next(found, _OWN)

    def read(self) -> Settings:
        """Return the settings.

        Raises:
            SettingsError: A field does not hold a number, or holds one that makes no sense here.
        """
        numbers = {name: self._number(name) for name in self._first}
        if numbers["threads"] > self._n_cpus:
            usable = fmt.counted(self._n_cpus, "CPU")
            raise SettingsError(f"threads: {numbers['threads']} asked, {usable} usable here – set 1 to {self._n_cpus}")
        preset = PRESETS.get(self.query_one("#preset", Choice).value)
        return Settings(
            numbers["tokens"],
            numbers["trials"],
            numbers["threads"],
            quality=self.query_one("#quality", Choice).value == "on",
            precision=preset.precision if preset else None,
        )

    def _text(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()

    def _number(self, name: str) -> int:
        text = self._text(name)
        try:
            number = int(text)
        except ValueError:
            raise SettingsError(f"{name}: {text or 'nothing'} is not a number – set 1 or more") from None
        if number < 1:
            raise SettingsError(f"{name}: {number} is too few – set 1 or more")
        return number

    @property
    def summary(self) -> str:
        """The settings in one line, as they stand in the fields."""
        values = {name: self._text(name) or "?" for name in self._first}
        preset = PRESETS.get(self.query_one("#preset", Choice).value)
        trials = f"{values['trials']}+" if preset and preset.precision else values["trials"]
        quality = " · quality" if self.query_one("#quality", Choice).value == "on" else ""
        tokens, threads = fmt.counted(values["tokens"], "token"), fmt.counted(values["threads"], "thread")
        return f"{tokens} × {trials} · {threads}{quality}"
