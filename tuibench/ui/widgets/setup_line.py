"""What will be measured in one line: the model, how much, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widgets import Label, Static

from tuibench.core import format as fmt
from tuibench.ui.text.settings import DEFAULT_PRESET, OWN, PRESETS
from tuibench.ui.widgets.choice import Choice


class SetupLine(Horizontal):
    """`Model ‹ SmolLM2 ›  Preset ‹ standard ›  ≈ 4 min`; everything else is a key away."""

    @dataclass
    class PresetChosen(Message):
        """Another preset is asked for."""

        name: str

    class ModelClicked(Message):
        """The model's name was clicked on."""

    class SettingsClicked(Message):
        """The rest of the line was clicked on."""

    def __init__(self, model: str) -> None:
        super().__init__(id="setup")
        self._model = model

    def compose(self) -> ComposeResult:
        """Lay out the parts."""
        yield Static(self._named(self._model), id="model", markup=False)
        yield Label("Preset", classes="name")
        yield Choice((*PRESETS, OWN), DEFAULT_PRESET, id="preset")
        yield Static(id="estimate", markup=False)

    @staticmethod
    def _named(model: str) -> Content:
        # Of a folder the last name says most; the whole would be cut there.
        name = Path(model).name if model.startswith(("/", ".", "~")) else model
        return Content.assemble(("Model ", "$muted"), ("‹ ", "$muted"), fmt.printable(name or model), (" ›", "$muted"))

    def show(self, model: str, preset: str, estimate: str) -> None:
        """Write the line."""
        if model != self._model:
            self._model = model
            self.query_one("#model", Static).update(self._named(model))
        self.query_one(Choice).value = preset
        self.query_one("#estimate", Static).update(Content.styled(estimate, "$muted"))

    @on(Choice.Changed)
    def tell_preset(self, event: Choice.Changed) -> None:
        """Tell what was chosen."""
        event.stop()
        self.post_message(self.PresetChosen(event.value))

    def on_click(self, event: Click) -> None:
        """Lead to what was clicked on."""
        if event.widget is not None and event.widget.id == "model":
            self.post_message(self.ModelClicked())
        elif event.widget is not None and event.widget.id == "estimate":
            self.post_message(self.SettingsClicked())
