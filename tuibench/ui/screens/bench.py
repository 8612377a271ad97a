"""The first screen: ask, measure, watch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import DescendantFocus
from textual.getters import query_one

from tuibench.core import format as fmt
from tuibench.core.run.endpoint import with_keys
from tuibench.core.run.spec import RunSpec
from tuibench.core.run.state import RunState
from tuibench.models.local import LocalModel, ModelError
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.messages import FeedEnded
from tuibench.ui.screens.base import RunScreen
from tuibench.ui.screens.measuring import MeasuringScreen
from tuibench.ui.text import describe
from tuibench.ui.text.subtitle import write_subtitle
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.ladder import Ladder
from tuibench.ui.widgets.machine_panel import MachinePanel
from tuibench.ui.widgets.prompt_box import PromptBox
from tuibench.ui.widgets.settings_form import SettingsError, SettingsForm
from tuibench.ui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from tuibench.measure.run.resume_offer import ResumeOffer
    from tuibench.ui.services import Context


class BenchScreen(MeasuringScreen):
    """Prompt, methods and settings above; the run below."""

    BINDINGS = bindings("bench")
    BINDING_GROUP_TITLE = "Bench"
    AUTO_FOCUS = "#prompt"

    prompt = query_one(PromptBox)
    settings = query_one(SettingsForm)
    machine = query_one(MachinePanel)
    status = query_one(StatusLine)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._model: LocalModel | None = None
        self._cpu_label = ""
        self._facts_known = asyncio.Event()
        self._rare_before: frozenset[str] = frozenset()
        self._snapshot_came = self._look_with_next = False

    def compose_body(self) -> ComposeResult:
        """Lay out the screen."""
        yield StatusLine()
        with Horizontal(id="top"):
            yield PromptBox()
            yield SettingsForm()
            yield MachinePanel(thrifty=self.context.low_bandwidth).data_bind(RunScreen.run)
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
        self.settings.use_machine(n_threads=cpus.n_default_threads, n_cpus=cpus.n_usable)
        self.prompt.remember(services.prompt_history().prompts())
        await self.look_for_model()
        self._facts_known.set()
        self._tick()

    async def look_for_model(self) -> None:
        """Look whether the model is on this machine, as after it was pulled."""
        try:
            self._model = await asyncio.to_thread(self.context.services.find_model, self.context.model)
        except ModelError as error:
            self.notify(fmt.printable(str(error)), title="Model", severity="error", timeout=10)
        self._write_facts()

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
        self.status.state = f"{describe.run_label(self.run)}{clock}"
        if self._facts_known.is_set():
            methods = fmt.counted(len(self.ladder.chosen), "method")
            write_subtitle(self.prompt, f"{methods} · {self.settings.summary}")

    # What the user changes ------------------------------------------------------------------------------------------

    @on(Ladder.ChoiceChanged)
    @on(SettingsForm.Changed)
    def show_settings(self) -> None:
        """Keep the summary beside the prompt up to date."""
        self._write_state()

    @on(DescendantFocus)
    def make_room(self, event: DescendantFocus) -> None:
        """Show the settings, and much of the prompt, only while either is in use."""
        top = self.query_one("#top")
        self.set_class(top in event.widget.ancestors, "-editing")

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
        """Go from what is asked to the ladder, and back."""
        if self.has_class("-editing"):
            self.ladder.focus()
        else:
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
            self.measure(spec, self._model)

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
        try:
            settings = self.settings.read()
        except SettingsError as error:
            self.notify(str(error), title="Settings", severity="warning")
            return None
        return RunSpec(
            model=self.context.model,
            methods=self.ladder.chosen,
            prompt=prompt,
            max_new_tokens=settings.max_new_tokens,
            n_trials=settings.n_trials,
            n_threads=settings.n_threads,
            precision=settings.precision,
            eval_text=self.context.services.eval_text() if settings.quality else None,
            endpoints=tuple(each for each in self.context.config.servers if each.method in self.ladder.chosen),
        )

    async def _offer_pull(self) -> bool:
        from tuibench.ui.screens.pull import PullScreen  # noqa: PLC0415 - needed once in the life of a machine

        if not await self.app.push_screen_wait(PullScreen(self.context)):
            return False
        await self.look_for_model()
        return self._model is not None

    @work(exclusive=True, group="start")
    async def go_on(self, offer: ResumeOffer, *, retry_failed: bool) -> None:
        """Measure what is missing of a stored session; what is asked for here becomes what it was measured with."""
        await self._facts_known.wait()
        if offer.model is None or self.refuse_while_running():
            return
        servers = with_keys(offer.spec.endpoints, self.context.config.servers)
        spec = msgspec.structs.replace(offer.spec, endpoints=servers)
        self.prompt.text = spec.prompt
        self.ladder.choose(spec.methods)
        self.settings.ask_for(
            max_new_tokens=spec.max_new_tokens,
            n_trials=spec.n_trials,
            n_threads=spec.n_threads,
            quality=spec.eval_text is not None,
        )
        self._remember(spec.prompt)
        self.measure(spec, offer.model, offer.taken(retry_failed=retry_failed))

    @property
    def rare_keys(self) -> frozenset[str]:
        """What the line of keys leaves out, because it would do nothing now."""
        if self.run.running:
            return frozenset({"run.start", "run.prompts", "run.resume", "bench.escape"})
        idle = {"run.stop", "run.skip"} | (set() if self.run.cancelled else {"run.resume"})
        return frozenset(idle if self.run.methods else idle | {"run.details", "run.compare", "run.race"})

    def watch_run(self, run: RunState) -> None:
        """Show the new state; as a run begins, go to its results, where single letters are keys."""
        begins = bool(run.methods) and self.has_class("-no-results")
        super().watch_run(run)
        if (rare := self.rare_keys) != self._rare_before:
            self._rare_before = rare
            self.refresh_bindings()
        self._snapshot_came = run.running
        if self._look_with_next:
            self._look()
        else:
            self._write_state()
        if begins:
            self.ladder.focus()

    @on(FeedEnded)
    def show_end(self) -> None:
        """Stop the clock."""
        self._write_state()

    def action_clear_results(self) -> None:
        """Remove the results from the screen; session files stay."""
        if not self.refuse_while_running():
            self.forget_run()
            self.prompt.focus()
