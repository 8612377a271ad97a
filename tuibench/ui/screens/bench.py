"""The first screen: ask, measure, watch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import DescendantFocus
from textual.getters import query_one

from tuibench.core import format as fmt
from tuibench.core.results.comparison import default_baseline
from tuibench.core.run.control import control_of, is_control
from tuibench.core.run.endpoint import with_keys
from tuibench.core.run.eta import MethodCost, planned_ns, run_remaining_ns
from tuibench.core.run.spec import RunSpec, Sampling
from tuibench.core.run.state import RunState
from tuibench.models.local import LocalModel, ModelError
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.messages import FeedEnded
from tuibench.ui.screens.base import MORE_TRIALS, RunScreen
from tuibench.ui.screens.measuring import MeasuringScreen
from tuibench.ui.text import describe
from tuibench.ui.text.settings import Settings, first_settings
from tuibench.ui.text.subtitle import write_subtitle
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.ladder import Ladder
from tuibench.ui.widgets.machine_panel import MachinePanel
from tuibench.ui.widgets.prompt_box import PromptBox
from tuibench.ui.widgets.result_strip import KEYS
from tuibench.ui.widgets.setup_line import SetupLine
from tuibench.ui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from tuibench.measure.run.resume import Continuation
    from tuibench.measure.run.resume_offer import ResumeOffer
    from tuibench.ui.screens.resume import GoOn
    from tuibench.ui.services import Context


_IDLE_KEYS = ("run.start", "run.prompts", "bench.model", "bench.settings")
_RUNNING_KEYS = ("run.stop", "run.skip")


class BenchScreen(MeasuringScreen):
    """Prompt, methods and settings above; the run below."""

    BINDINGS = bindings("bench")
    BINDING_GROUP_TITLE = "Bench"
    AUTO_FOCUS = "#prompt"

    prompt = query_one(PromptBox)
    setup = query_one(SetupLine)
    machine = query_one(MachinePanel)
    status = query_one(StatusLine)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._model: LocalModel | None = None
        self._cpu_label = ""
        self._n_cpus = 1
        self.settings = first_settings(1)
        self._costs: Mapping[str, MethodCost] = {}
        self._facts_known = asyncio.Event()
        self._rare_before: frozenset[str] = frozenset()
        self._snapshot_came = self._look_with_next = False

    def compose_body(self) -> ComposeResult:
        """Lay out the screen."""
        yield StatusLine()
        with Horizontal(id="top"):
            yield PromptBox()
            yield MachinePanel(thrifty=self.context.low_bandwidth).data_bind(RunScreen.run)
        yield SetupLine(self.context.model)
        yield from self.compose_run()
        yield KeyLine()

    def on_mount(self) -> None:
        """Paint first, then look at the machine."""
        self.add_class("-no-results", "-editing")
        self.status.facts = (fmt.printable(self.context.model),)
        self.status.state = describe.run_label(self.run)
        self.call_after_refresh(self._learn_facts)
        self.set_interval(self.context.sample_s, self._tick)

    @work(group="facts")
    async def _learn_facts(self) -> None:
        """Find out about methods, machine and model; none of it may delay the first frame."""
        services = self.context.services
        self._known = self.context.known_methods()
        self.ladder.offer(self._known)
        self.point(next(iter(self._known), None))
        cpus = services.cpus()
        self._cpu_label = cpus.label
        self._n_cpus = cpus.n_usable
        self.settings = first_settings(cpus.n_default_threads)
        self.prompt.remember(services.prompt_history().prompts())
        await self.look_for_model()
        self._facts_known.set()
        self._tick()
        self._write_setup()

    async def look_for_model(self) -> None:
        """Look whether the model is on this machine, as after it was pulled."""
        try:
            self._model = await asyncio.to_thread(self.context.services.find_model, self.context.model)
        except ModelError as error:
            self._model = None
            self.notify(fmt.printable(str(error)), title="Model", severity="error", timeout=10)
        self._write_facts()
        self._learn_costs()

    @work(exclusive=True, group="costs")
    async def _learn_costs(self) -> None:
        """Look how long the methods took on this model before."""
        name = self._model.name if self._model else self.context.model
        self._costs = await asyncio.to_thread(self.context.services.costs, name)
        self._write_setup()

    def _write_facts(self) -> None:
        model = self._model
        about = (
            (fmt.count(model.parameters), f"{model.dtype.lower()} {fmt.size(model.weight_bytes)}")
            if model
            else ("not on this machine yet",)
        )
        name = model.name if model else self.context.model
        self.status.facts = (fmt.printable(name), *about, self._cpu_label)

    def _tick(self) -> None:
        """Once a second: the machine, and the clock of a run. As long as snapshots come, with the next one of them.

        To paint everything at once costs a third less than to paint twice.
        """
        if self._snapshot_came:
            self._snapshot_came, self._look_with_next = False, True
        elif self.is_current:
            self._look()

    def _look(self) -> None:
        self._look_with_next = False
        self.machine.sample = self.context.services.sample_machine()
        self._write_state()

    def _write_state(self) -> None:
        clock = "" if self.elapsed_s is None else f" · {fmt.clock(self.elapsed_s)}"
        self.status.state = f"{describe.run_label(self.run)}{clock}{self._left()}"

    def _left(self) -> str:
        if not self.run.running:
            return ""
        scorings = [cost.scoring_ns or 0 for name, cost in self._costs.items() if name in self.run.methods]
        left_ns = run_remaining_ns(self.run, max(scorings, default=0))
        return "" if left_ns is None else f" · {fmt.clock(left_ns / 1e9)} left"

    def _write_setup(self) -> None:
        if self._facts_known.is_set():
            methods = fmt.counted(len(self.ladder.chosen), "method")
            write_subtitle(self.prompt, f"{methods} · {self.settings.summary}")
            self.setup.show(self.context.model, self.settings.preset, self._estimate())

    def _estimate(self) -> str:
        """Return how long it will take, as far as it was ever measured here."""
        asked = self.settings
        expected_ns = planned_ns(
            self._costs,
            self._asked_methods(),
            n_tokens=asked.max_new_tokens,
            n_trials=asked.n_trials,
            scored=asked.quality,
        )
        if expected_ns is None:
            return ""
        if asked.budget_s is not None:
            expected_ns = min(expected_ns, round(asked.budget_s * 1e9))
        return f"{'≥' if asked.precision else '≈'} {fmt.rough_duration(expected_ns)}"

    # What the user changes ------------------------------------------------------------------------------------------

    @on(Ladder.ChoiceChanged)
    def show_settings(self) -> None:
        """Keep the summary beside the prompt up to date."""
        self._write_setup()

    @on(SetupLine.PresetChosen)
    def use_preset(self, event: SetupLine.PresetChosen) -> None:
        """Take a preset's numbers."""
        event.stop()
        self.settings = self.settings.with_preset(event.name)
        self._write_setup()

    @on(SetupLine.SettingsClicked)
    @work(exclusive=True, group="settings")
    async def action_change_settings(self) -> None:
        """Show all settings and take what is put into them."""
        from tuibench.ui.screens.settings import SettingsScreen  # noqa: PLC0415 - not part of the first frame

        await self._facts_known.wait()
        taken = await self.app.push_screen_wait(SettingsScreen(self.settings, self._n_cpus))
        if taken is not None:
            self.settings = taken
            self._write_setup()

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
        self._write_setup()

    @on(DescendantFocus)
    def make_room(self, event: DescendantFocus) -> None:
        """Show the settings, and much of the prompt, only while either is in use."""
        self.set_class(event.widget is self.prompt, "-editing")
        self.refresh_bindings()

    @work(group="prompts")
    async def action_choose_prompt(self) -> None:
        """Take a prompt from those used before and those that are kept."""
        from tuibench.ui.screens.prompts import PromptsScreen  # noqa: PLC0415 - not part of the first frame

        chosen = await self.app.push_screen_wait(PromptsScreen(self.context))
        if chosen is not None:
            self.prompt.text = chosen
            self.prompt.move_cursor(self.prompt.document.end)
            self.prompt.focus()

    def action_leave_prompt(self) -> None:
        """Go from what is asked to the methods and their results."""
        self.ladder.focus()

    def action_enter_prompt(self) -> None:
        """Write the prompt."""
        self.prompt.focus()

    # Running --------------------------------------------------------------------------------------------------------

    @on(PromptBox.Sent)
    def action_start_run(self) -> None:
        """Check what is asked for, and measure it."""
        if not self.refuse_while_running():
            self._start()

    @work(exclusive=True, group="start")
    async def _start(self) -> None:
        await self._facts_known.wait()
        spec = self._read_spec()
        if spec is None or self._live is not None:
            return
        if self._model is None and not await self._offer_pull():
            return
        if self._model is not None:
            self._remember(spec.prompt)
            self._measure(spec, self._model)

    def _remember(self, prompt: str) -> None:
        history = self.context.services.prompt_history()
        try:
            history.add(prompt)
        except OSError as error:
            self.notify(fmt.printable(f"the prompt is not remembered: {error}"), severity="warning")
        self.prompt.remember(history.prompts())

    def _read_spec(self) -> RunSpec | None:
        """Return what to measure; None, and a notice that says what to do, if it cannot be measured."""
        prompt = self.prompt.text
        if not prompt.strip():
            self.notify("the prompt is empty – type one, then press F5", severity="warning")
            self.prompt.focus()
            return None
        if not self.ladder.chosen:
            self.notify("no method is selected – select one with the space bar", severity="warning")
            self.ladder.focus()
            return None
        settings = self.settings
        return RunSpec(
            model=self.context.model,
            methods=self._asked_methods(),
            prompt=prompt,
            raw=settings.raw,
            max_new_tokens=settings.max_new_tokens,
            n_trials=settings.n_trials,
            n_threads=settings.n_threads,
            precision=settings.precision,
            budget_s=settings.budget_s,
            sampling=Sampling(temperature=settings.temperature),
            eval_text=self.context.services.eval_text() if settings.quality else None,
            endpoints=tuple(each for each in self.context.config.servers if each.method in self.ladder.chosen),
        )

    def _asked_methods(self) -> tuple[str, ...]:
        """Return the chosen methods, and their yardstick a second time where a control is asked for."""
        chosen = self.ladder.chosen
        parents = {name: method.parent for name, method in self.known_methods.items()}
        yardstick = default_baseline(chosen, parents) if self.settings.control else None
        return chosen if yardstick is None else (*chosen, control_of(yardstick))

    async def _offer_pull(self) -> bool:
        from tuibench.ui.screens.pull import PullScreen  # noqa: PLC0415 - needed once in the life of a machine

        if not await self.app.push_screen_wait(PullScreen(self.context)):
            return False
        await self.look_for_model()
        return self._model is not None

    @work(exclusive=True, group="start")
    async def go_on(self, offer: ResumeOffer, how: GoOn) -> None:
        """Go on with a stored session; what is asked for here becomes what it was measured with."""
        await self._facts_known.wait()
        if offer.model is None or self.refuse_while_running():
            return
        servers = with_keys(offer.spec.endpoints, self.context.config.servers)
        asked = offer.with_more(MORE_TRIALS) if how == "more" else offer.spec
        spec = msgspec.structs.replace(asked, endpoints=servers)
        self.prompt.text = spec.prompt
        self.ladder.choose(spec.methods)
        self.settings = Settings(
            max_new_tokens=spec.max_new_tokens,
            n_trials=spec.n_trials,
            n_threads=spec.n_threads,
            quality=spec.eval_text is not None,
            precision=offer.spec.precision,
            budget_s=spec.budget_s,
            temperature=spec.sampling.temperature,
            raw=spec.raw,
            control=any(map(is_control, spec.methods)),
        )
        self._write_setup()
        self._remember(spec.prompt)
        self._measure(spec, offer.model, offer.taken(retry_failed=how == "failed too"))

    def _measure(self, spec: RunSpec, model: LocalModel, resume: Continuation | None = None) -> None:
        """Measure, and go to the results, where single letters are keys."""
        self.ladder.focus()
        self.measure(spec, model, resume)

    @property
    def rare_keys(self) -> frozenset[str]:
        """What the line of keys leaves out, because it would do nothing now."""
        rare = {*(_IDLE_KEYS if self.run.running else _RUNNING_KEYS)}
        rare.add("bench.prompt" if self.has_class("-editing") else "bench.escape")
        if not self.run.n_measured:
            rare |= {"run.compare", "run.race", "run.details"}
        # The result's own keys stand in its strip.
        return frozenset(rare | set(KEYS) if self.strip.display else rare | {"run.resume", "run.report", "run.take"})

    def watch_run(self, run: RunState) -> None:
        """Show the new state."""
        self.set_class(run.running, "-measuring")
        super().watch_run(run)
        if (rare := self.rare_keys) != self._rare_before:
            self._rare_before = rare
            self.refresh_bindings()
        self._snapshot_came = run.running
        if self._look_with_next:
            self._look()
        else:
            self._write_state()

    @on(FeedEnded)
    def show_end(self) -> None:
        """Stop the clock; what was measured says how long it would take again."""
        self._write_state()
        self._learn_costs()

    def action_clear_results(self) -> None:
        """Remove the results from the screen; session files stay."""
        if not self.refuse_while_running():
            self.forget_run()
            self.prompt.focus()
