"""What is asked for: model, methods, settings, and how long measuring them will take."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual import on, work
from textual.getters import query_one

from tuibench.core import format as fmt
from tuibench.core.results.comparison import default_baseline
from tuibench.core.run.control import control_of
from tuibench.core.run.eta import MethodCost, planned_ns, run_remaining_ns
from tuibench.models.local import LocalModel, ModelError
from tuibench.ui.screens.measuring import MeasuringScreen
from tuibench.ui.text.settings import first_settings
from tuibench.ui.text.subtitle import write_subtitle
from tuibench.ui.widgets.ladder import Ladder
from tuibench.ui.widgets.prompt_box import PromptBox
from tuibench.ui.widgets.setup_line import SetupLine

if TYPE_CHECKING:
    from tuibench.ui.services import Context


class AskingScreen(MeasuringScreen):
    """Knows what the next run will be."""

    prompt = query_one(PromptBox)
    setup = query_one(SetupLine)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.settings = first_settings(1)
        self._model: LocalModel | None = None
        self._n_cpus = 1
        self._costs: Mapping[str, MethodCost] = {}
        self._facts_known = asyncio.Event()

    def write_facts(self) -> None:
        """Say what is measured, on what."""
        raise NotImplementedError

    async def look_for_model(self) -> None:
        """Look whether the model is on this machine, as after it was pulled."""
        try:
            self._model = await asyncio.to_thread(self.context.services.find_model, self.context.model)
        except ModelError as error:
            self._model = None
            self.notify(fmt.printable(str(error)), title="Model", severity="error", timeout=10)
        self.write_facts()
        self._learn_costs()

    @work(exclusive=True, group="costs")
    async def _learn_costs(self) -> None:
        """Look how long the methods took on this model before."""
        name = self._model.name if self._model else self.context.model
        self._costs = await asyncio.to_thread(self.context.services.costs, name)
        self.write_setup()

    @property
    def time_left(self) -> str:
        """How long the run will go on, scoring included, as the end of a line; nothing as long as nobody knows."""
        if not self.run.running:
            return ""
        scorings = [cost.scoring_ns or 0 for name, cost in self._costs.items() if name in self.run.methods]
        left_ns = run_remaining_ns(self.run, max(scorings, default=0))
        return "" if left_ns is None else f" · {fmt.clock(left_ns / 1e9)} left"

    def write_setup(self) -> None:
        """Show what is asked for, and how long that will take."""
        if self._facts_known.is_set():
            methods = fmt.counted(len(self.ladder.chosen), "method")
            write_subtitle(self.prompt, f"{methods} · {self.settings.summary}")
            self.setup.show(self.context.model, self.settings.preset, self._estimate())

    def _estimate(self) -> str:
        """Return how long it will take, as far as it was ever measured here."""
        asked = self.settings
        expected_ns = planned_ns(
            self._costs,
            self.asked_methods(),
            n_tokens=asked.max_new_tokens,
            n_trials=asked.n_trials,
            scored=asked.quality,
        )
        if expected_ns is None:
            return ""
        if asked.budget_s is not None:
            expected_ns = min(expected_ns, round(asked.budget_s * 1e9))
        return f"{'≥' if asked.precision else '≈'} {fmt.rough_duration(expected_ns)}"

    @on(Ladder.ChoiceChanged)
    def show_settings(self) -> None:
        """Keep the summary beside the prompt up to date."""
        self.write_setup()

    @on(SetupLine.PresetChosen)
    def use_preset(self, event: SetupLine.PresetChosen) -> None:
        """Take a preset's numbers."""
        event.stop()
        self.settings = self.settings.with_preset(event.name)
        self.write_setup()

    @on(SetupLine.SettingsClicked)
    @work(exclusive=True, group="settings")
    async def action_change_settings(self) -> None:
        """Show all settings and take what is put into them."""
        from tuibench.ui.screens.settings import SettingsScreen  # noqa: PLC0415 - not part of the first frame

        await self._facts_known.wait()
        taken = await self.app.push_screen_wait(SettingsScreen(self.settings, self._n_cpus))
        if taken is not None:
            self.settings = taken
            self.write_setup()

    @on(SetupLine.ModelClicked)
    @work(exclusive=True, group="model")
    async def action_choose_model(self) -> None:
        """Take another model."""
        from tuibench.ui.screens.models import ModelsScreen  # noqa: PLC0415 - not part of the first frame

        if self.refuse_while_running():
            return
        taken = await self.app.push_screen_wait(ModelsScreen(self.context))
        if taken is None or taken == self.context.model:
            return
        try:
            self.context.model = self.context.services.model_name(taken)
        except ModelError as error:
            self.notify(fmt.printable(str(error)), title="Model", severity="error", timeout=10)
            return
        await self.look_for_model()
        self.write_setup()

    def asked_methods(self) -> tuple[str, ...]:
        """Return the chosen methods, and their yardstick a second time where a control is asked for."""
        chosen = self.ladder.chosen
        parents = {name: method.parent for name, method in self.known_methods.items()}
        yardstick = default_baseline(chosen, parents) if self.settings.control else None
        return chosen if yardstick is None else (*chosen, control_of(yardstick))
