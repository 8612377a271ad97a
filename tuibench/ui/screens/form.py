"""What forms have in common: their fields are checked while they are typed, and one line says what they amount to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from textual import on
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tuibench.core import format as fmt
from tuibench.ui.text.settings import Field, SettingsError

Filled = TypeVar("Filled")


class Form(ModalScreen[Filled | None]):
    """Gives what was taken; None when it was left."""

    @abstractmethod
    def check(self) -> None:
        """Say what the fields amount to, or what is wrong with them."""

    @abstractmethod
    def filled(self) -> Filled:
        """Return what the fields amount to.

        Raises:
            SettingsError: They cannot be used.
        """

    def on_mount(self) -> None:
        """Say what they amount to as they are."""
        self.check()

    @on(Input.Changed)
    def check_typed(self, event: Input.Changed) -> None:
        """Say what that amounts to."""
        event.stop()
        self.check()

    @on(Input.Submitted)
    def take_from_field(self, event: Input.Submitted) -> None:
        """Take them."""
        event.stop()
        self.action_take()

    def action_take(self) -> None:
        """Take what the fields amount to, unless something is wrong with them: that is said already."""
        try:
            self.dismiss(self.filled())
        except SettingsError:
            self.check()

    def action_close(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)


def problems_of(form: DOMNode, fields: Sequence[Field], check: Callable[[str, str], object]) -> list[str]:
    """Mark the fields whose text cannot be used, and return why, a line each.

    Args:
        form: What has an input for each field, with the field's name as its id.
        fields: The fields.
        check: Raises `SettingsError` for the text of a field.
    """
    problems = []
    for field in fields:
        entry = form.query_one(f"#{field.name}", Input)
        try:
            check(field.name, entry.value)
            entry.remove_class("-wrong")
        except SettingsError as error:
            entry.add_class("-wrong")
            problems.append(str(error))
    return problems


def say(form: DOMNode, text: str, *, wrong: bool) -> None:
    """Write what the fields amount to, or what is wrong with them, into the form's `#problem`."""
    said = form.query_one("#problem", Static)
    said.set_class(wrong, "-wrong")
    said.update(fmt.printable(text))
