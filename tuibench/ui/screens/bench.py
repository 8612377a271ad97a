"""The first screen: ask, measure, watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import DescendantFocus
from textual.getters import query_one

from tuibench.core import format as fmt
from tuibench.core.run.control import is_control
from tuibench.core.run.limits import SEARCH_NEW_TOKENS
from tuibench.core.run.spec import DEFAULT_PROMPT, RunSpec, Sampling
from tuibench.core.run.state import RunState
from tuibench.models.local import LocalModel
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.messages import FeedEnded
from tuibench.ui.screens.asking import AskingScreen
from tuibench.ui.screens.base import MORE_TRIALS, RunScreen, TooSmall
from tuibench.ui.text import describe
from tuibench.ui.text.settings import first_settings, settings_of
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.machine_panel import MachinePanel
from tuibench.ui.widgets.prompt_box import PromptBox
from tuibench.ui.widgets.setup_line import SetupLine
from tuibench.ui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from tuibench.measure.run.resume import Continuation
    from tuibench.measure.run.resume_offer import GoOn, ResumeOffer
    from tuibench.ui.context import Context
    from tuibench.ui.screens.pick import Search


_IDLE_KEYS = ("run.start", "run.prompts", "bench.model", "bench.settings", "bench.pick")
_RUNNING_KEYS = ("run.stop", "run.skip")


class BenchScreen(AskingScreen):
    """Prompt, methods and settings above; the run below."""

    BINDINGS = bindings("bench")
    BINDING_GROUP_TITLE = "Bench"
    AUTO_FOCUS = "#prompt"

    machine = query_one(MachinePanel)
    status = query_one(StatusLine)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._cpu_label = ""
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
        self.write_setup()

    def write_facts(self) -> None:
        """Say what is measured, on what."""
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
        self.status.state = f"{describe.run_label(self.run)}{clock}{self.time_left}"

    # What the user changes ------------------------------------------------------------------------------------------

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
        await self._begin(self._read_spec())

    async def _begin(self, spec: RunSpec | None) -> None:
        if spec is None or self._live is not None:
            return
        if self._model is None and not await self._offer_pull():
            return
        if self._model is not None:
            self._remember(spec.prompt)
            self._measure(spec, self._model)

    @work(exclusive=True, group="start")
    async def action_pick(self) -> None:
        """Search for the fastest method that keeps limits."""
        from tuibench.ui.screens.pick import PickScreen  # noqa: PLC0415 - not part of the first frame

        await self._facts_known.wait()
        if self.refuse_while_running():
            return
        search = await self.app.push_screen_wait(PickScreen())
        if search is not None:
            await self._begin(self._search_spec(search))

    def _search_spec(self, search: Search) -> RunSpec:
        """Return what to measure for a search: short trials, and predictions only where they count."""
        methods = self.asked_methods() if search.among == "chosen" else self.usable(peers=search.among == "all")
        return RunSpec(
            model=self.context.model,
            methods=tuple(name for name in methods if not is_control(name)),
            prompt=self.prompt.text if self.prompt.text.strip() else DEFAULT_PROMPT,
            raw=self.settings.raw,
            max_new_tokens=SEARCH_NEW_TOKENS,
            n_trials=1,
            n_threads=max(self.settings.n_threads),
            eval_text=None if search.limits.max_kld is None else self.context.services.eval_text(),
            endpoints=tuple(each for each in self.context.config.servers if each.method in methods),
            limits=search.limits,
        )

    def _remember(self, prompt: str) -> None:
        if not prompt:  # it was cut from a text
            return
        history = self.context.services.prompt_history()
        try:
            history.add(prompt)
        except OSError as error:
            self.notify(fmt.printable(f"the prompt is not remembered: {error}"), severity="warning")
        self.prompt.remember(history.prompts())

    def _read_spec(self) -> RunSpec | None:
        """Return what to measure; None, and a notice that says what to do, if it cannot be measured."""
        settings, sweep = self.settings, self.settings.sweep
        prompt = "" if settings.prompt_tokens else self.prompt.text
        if not settings.prompt_tokens and not prompt.strip():
            self.notify("the prompt is empty – type one, then press F5", severity="warning")
            self.prompt.focus()
            return None
        if not self.ladder.chosen:
            self.notify("no method is chosen – choose one with the space bar", severity="warning")
            self.ladder.focus()
            return None
        return RunSpec(
            model=self.context.model,
            methods=self.asked_methods(),
            prompt=prompt,
            raw=settings.raw,
            max_new_tokens=max(settings.max_new_tokens),
            n_trials=settings.n_trials,
            n_threads=max(settings.n_threads),
            precision=settings.precision,
            budget_s=settings.budget_s,
            sampling=Sampling(temperature=settings.temperature),
            eval_text=self.context.services.eval_text() if settings.quality else None,
            endpoints=tuple(each for each in self.context.config.servers if each.method in self.ladder.chosen),
            sweep=sweep,
            running_text=self.context.services.eval_text() if sweep is not None and sweep.needs_text else None,
        )

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
        run = offer.run(how, MORE_TRIALS)
        if run is None or self.refuse_while_running():
            return
        spec = run.spec
        self.prompt.text = spec.prompt
        self.ladder.choose(spec.methods)
        self.settings = settings_of(spec, offer.spec.precision)
        self.write_setup()
        self._remember(spec.prompt)
        self._measure(spec, run.model, run.continuation)

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
        if not self.strip.display:
            rare |= {"run.resume", "run.report", "run.take"}
        return frozenset(rare)

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
        self.query_one(TooSmall).refresh()
        self._fits_of = ()  # what is free is another now
        self._learn_costs()

    def action_clear_results(self) -> None:
        """Remove the results from the screen; session files stay."""
        if not self.refuse_while_running():
            self.forget_run()
            self.prompt.focus()
