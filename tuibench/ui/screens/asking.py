"""What is asked for: model, methods, settings, and how long measuring them will take."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual import on, work
from textual.getters import query_one

from tuibench.core import format as fmt
from tuibench.core.results.rungs import default_yardstick
from tuibench.core.run.control import control_of
from tuibench.core.run.eta import MethodCost, planned_ns, run_remaining_ns
from tuibench.models.local import LocalModel, ModelError
from tuibench.ui.messages import MethodToggled
from tuibench.ui.screens.measuring import MeasuringScreen
from tuibench.ui.text.settings import Settings, first_settings
from tuibench.ui.text.subtitle import write_subtitle
from tuibench.ui.widgets.ladder import Ladder
from tuibench.ui.widgets.prompt_box import PromptBox
from tuibench.ui.widgets.setup_line import SetupLine

if TYPE_CHECKING:
    from tuibench.ui.context import Context


_CHARACTERS_A_TOKEN, _LENGTH_STEP = 4, 256
"""Of a prompt that is typed, whose tokens nobody has counted yet; what is asked for changes in such steps."""


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
        self._fits_of: tuple[object, ...] = ()
        """What the fits were last asked for."""
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

    def _look_at_memory(self) -> None:
        """Look which methods fit into memory, where another model, length or number of users is asked for."""
        n_typed = -(-len(self.prompt.text) // _CHARACTERS_A_TOKEN)
        n_tokens = self.settings.most_tokens(-(-n_typed // _LENGTH_STEP) * _LENGTH_STEP)
        of = (self._model, n_tokens, *self.known_methods)
        if of != self._fits_of and not self.run.running:
            self._fits_of = of
            self._learn_fits(n_tokens)

    @work(exclusive=True, group="fits")
    async def _learn_fits(self, n_tokens: int) -> None:
        model, methods = self._model, tuple(self.known_methods)
        fits = await asyncio.to_thread(self.context.services.fits, model, methods, n_tokens) if model else {}
        self.fits = fits
        self.ladder.tell_fits(fits)
        self.focused_panel.tell_fits(fits)

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
            self.setup.show(self.context.model, self.settings.preset, self._estimate(self.settings))
            self._look_at_memory()

    def _estimate(self, asked: Settings) -> str:
        """Return how long it will take, as far as it was ever measured here."""
        expected_ns = planned_ns(
            self._costs,
            self.asked_methods(),
            shapes=asked.shapes,
            n_trials=asked.n_trials,
            scored=asked.quality,
        )
        if expected_ns is None:
            return ""
        if asked.budget_s is not None:
            expected_ns = min(expected_ns, round(asked.budget_s * 1e9))
        return f"{'≥' if asked.precision else '≈'} {fmt.rough_duration(expected_ns)}"

    def _told(self, asked: Settings) -> str:
        """Return what settings amount to."""
        parts = (fmt.counted(len(self.ladder.chosen), "method"), asked.summary, self._estimate(asked))
        return " · ".join(filter(None, parts))

    @on(Ladder.ChoiceChanged)
    def show_settings(self) -> None:
        """Keep the summary beside the prompt up to date."""
        self.write_setup()

    @on(MethodToggled)
    def toggle_chosen(self, event: MethodToggled) -> None:
        """Let the method of a row take part, or not any more."""
        event.stop()
        self.toggle_method(event.method)

    def toggle_method(self, name: str) -> None:
        """Let a method take part, or not any more; where its runtime is missing, offer that first."""
        method = self.known_methods.get(name)
        missing = self.context.services.missing_runtime(method.runtime) if method and method.runtime else None
        if method is None or method.runtime is None or missing is None or name in self.ladder.chosen:
            self.ladder.toggle(name)
        else:
            self._offer_runtime(name, method.runtime, missing)

    @work(exclusive=True, group="runtime")
    async def _offer_runtime(self, name: str, runtime: str, why: str) -> None:
        from tuibench.ui.screens.pull import PullScreen, runtime_wanted  # noqa: PLC0415 - once in a machine's life

        if await self.app.push_screen_wait(PullScreen(self.context, runtime_wanted(self.context, runtime, why))):
            self._known = self.context.known_methods()
            self.ladder.explain(self._known)
            self.ladder.toggle(name)
            self.point(name)

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
        taken = await self.app.push_screen_wait(SettingsScreen(self.settings, self._n_cpus, self._told))
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

    def usable(self, *, peers: bool) -> tuple[str, ...]:
        """Return the methods that can be used here: those of the ladder, or of others, too."""
        return tuple(
            name
            for name, method in self.known_methods.items()
            if not method.problem and not method.named_only and (peers or method.is_rung)
        )

    def asked_methods(self) -> tuple[str, ...]:
        """Return the chosen methods, and their yardstick a second time where a control is asked for."""
        chosen = self.ladder.chosen
        parents = {name: method.parent for name, method in self.known_methods.items()}
        yardstick = default_yardstick(chosen, parents) if self.settings.control else None
        return chosen if yardstick is None else (*chosen, control_of(yardstick))
