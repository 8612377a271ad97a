"""How much is measured: tokens, trials, threads."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Label


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers that were checked."""

    max_new_tokens: int
    n_trials: int
    n_threads: int


class SettingsError(ValueError):
    """A number cannot be used; the message says which, why, and what to do."""


class SettingsForm(Horizontal):
    """Three small fields. What is in them is checked when a run is asked for, so that typing is never in the way."""

    def __init__(self, *, n_threads: int, n_cpus: int) -> None:
        super().__init__(id="settings")
        self.border_title = "Settings"
        self._n_cpus = n_cpus
        self._defaults = {"tokens": 128, "trials": 3, "threads": n_threads}

    def compose(self) -> ComposeResult:
        """Lay out label and field, three times."""
        for name, value in self._defaults.items():
            yield Label(name)
            yield Input(str(value), id=name, type="integer", max_length=5, compact=True, select_on_focus=True)

    def use_machine(self, *, n_threads: int, n_cpus: int) -> None:
        """Set what the machine allows and wants."""
        self._n_cpus = n_cpus
        self.query_one("#threads", Input).value = str(n_threads)

    def read(self) -> Settings:
        """Return the settings.

        Raises:
            SettingsError: A field holds no number, or one that makes no sense here.
        """
        numbers = {name: self._number(name) for name in self._defaults}
        if numbers["threads"] > self._n_cpus:
            raise SettingsError(
                f"threads: {numbers['threads']} asked, {self._n_cpus} CPUs usable here – set 1 to {self._n_cpus}"
            )
        return Settings(numbers["tokens"], numbers["trials"], numbers["threads"])

    def _number(self, name: str) -> int:
        text = self.query_one(f"#{name}", Input).value.strip()
        try:
            number = int(text)
        except ValueError:
            raise SettingsError(f"{name}: {text or 'nothing'} is no number – set 1 or more") from None
        if number < 1:
            raise SettingsError(f"{name}: {number} is too few – set 1 or more")
        return number

    @property
    def summary(self) -> str:
        """The settings in one line, as they stand in the fields."""
        values = {name: self.query_one(f"#{name}", Input).value or "?" for name in self._defaults}
        return f"{values['tokens']} × {values['trials']} · {values['threads']} threads"
