"""The first screen: ask, measure, watch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import DescendantFocus
from textual.getters import query_one

from tuibench.core import format as fmt
from tuibench.core.spec import RunSpec
from tuibench.core.state import RunState
from tuibench.models.local import LocalModel, ModelError
from tuibench.store.schema import SessionError
from tuibench.ui import describe
from tuibench.ui.feed import Feed
from tuibench.ui.keymap import bindings
from tuibench.ui.messages import ComparisonWanted, FeedEnded, ResumeWanted, SessionChosen
from tuibench.ui.screens.base import RunScreen
from tuibench.ui.subtitle import write_subtitle
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.ladder import Ladder
from tuibench.ui.widgets.machine_panel import MachinePanel
from tuibench.ui.widgets.prompt_box import PromptBox
from tuibench.ui.widgets.settings_form import SettingsError, SettingsForm
from tuibench.ui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from tuibench.measure.resume import Continuation
    from tuibench.measure.resume_offer import ResumeOffer
    from tuibench.ui.services import Context, LiveRun


class BenchScreen(RunScreen):
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
        self._live: LiveRun | None = None
        self._model: LocalModel | None = None
        self._cpu_label = ""
        self._facts_known = asyncio.Event()
        self._started_s: float | None = None
        self._ended_s: float | None = None
        self._session: Path | None = None
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
        self._known = services.methods()
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
        label = describe.run_label(self.run)
        if self._started_s is not None:
            now_s = self.context.services.clock_s() if self._ended_s is None else self._ended_s
            label = f"{label} · {fmt.clock(now_s - self._started_s)}"
        self.status.state = label
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
        if self._live is not None:
            self.notify("a run is under way – F8 stops it", severity="warning")
            return
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
            self._measure(spec, self._model)

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
        )

    async def _offer_pull(self) -> bool:
        from tuibench.ui.screens.pull import PullScreen  # noqa: PLC0415 - needed once in the life of a machine

        if not await self.app.push_screen_wait(PullScreen(self.context)):
            return False
        await self.look_for_model()
        return self._model is not None

    @property
    def session_under_way(self) -> Path | None:
        """The file of the run that goes on; None while nothing runs, or nothing is written yet."""
        return self._live.session_path if self._live else None

    @work(exclusive=True, group="start")
    async def go_on(self, offer: ResumeOffer, *, retry_failed: bool) -> None:
        """Measure what is missing of a stored session; what is asked for here becomes what it was measured with."""
        await self._facts_known.wait()
        if self._live is not None:
            self.notify("a run is under way – F8 stops it", severity="warning")
            return
        if offer.model is None:
            return
        spec = offer.spec
        self.prompt.text = spec.prompt
        self.ladder.choose(spec.methods)
        self.settings.ask_for(
            max_new_tokens=spec.max_new_tokens,
            n_trials=spec.n_trials,
            n_threads=spec.n_threads,
            quality=spec.eval_text is not None,
        )
        self._measure(spec, offer.model, offer.taken(retry_failed=retry_failed))

    @work(exclusive=True, group="run")
    async def _measure(self, spec: RunSpec, model: LocalModel, resume: Continuation | None = None) -> None:
        self._live = live = self.context.services.measure(spec, model, resume)
        self._started_s, self._ended_s = self.context.services.clock_s(), None
        self._chosen_by_user = False
        self._session = None
        self._remember(spec.prompt)
        problem = None
        feed = Feed(live.events(), self.publisher(live), interval_s=self.context.snapshot_s)
        try:
            await feed.run()
        except (OSError, ModelError, SessionError) as error:
            problem = str(error)
        finally:
            self._live = None
            self._ended_s = self.context.services.clock_s()
            self._session = live.session_path
        self.post_message(FeedEnded(feed.state, live.session_path, problem))

    def _remember(self, prompt: str) -> None:
        history = self.context.services.prompt_history()
        try:
            history.add(prompt)
        except OSError as error:
            self.notify(fmt.printable(f"the prompt is not remembered: {error}"), severity="warning")
        self.prompt.remember(history.prompts())

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
    def report_end(self, event: FeedEnded) -> None:
        """Say what became of the run and where it is kept."""
        self._write_state()
        for notice in event.state.notices:
            self.notify(fmt.printable(notice), severity="warning")
        if event.problem is not None:
            self.notify(fmt.printable(event.problem), title="The run broke off", severity="error", timeout=15)
        elif event.session is not None:
            saved = f"saved as {fmt.printable(event.session.name)}"
            more = " – R measures what is missing" if event.state.cancelled else ""
            self.notify(f"{saved}{more}", title=describe.run_label(event.state))

    def action_stop_run(self) -> None:
        """End the run; what is finished is kept."""
        if self._live is None:
            self.notify("nothing runs – F5 starts a run", severity="warning")
        else:
            self._live.stop()

    def action_resume(self) -> None:
        """Measure what is missing of the run that was stopped."""
        if self._live is not None:
            self.notify("a run is under way – F8 stops it", severity="warning")
        elif self._session is None:
            self.notify("no run to go on with – F3 shows earlier ones, R goes on with one", severity="warning")
        else:
            self.post_message(ResumeWanted(self._session))

    def action_skip_method(self) -> None:
        """End the running method and go on with the next."""
        if self._live is None:
            self.notify("nothing runs – F5 starts a run", severity="warning")
        else:
            self._live.skip()

    def action_clear_results(self) -> None:
        """Remove the results from the screen; session files stay."""
        if self._live is not None:
            self.notify("a run is under way – F8 stops it, then clear", severity="warning")
            return
        self._started_s = self._ended_s = None
        self._session = None
        self.run = RunState()
        self._chosen_by_user = False
        self.prompt.focus()

    # What to look at next -------------------------------------------------------------------------------------------

    def action_compare(self) -> None:
        """Lay the methods of the latest run side by side."""
        if (path := self._finished_session()) is not None:
            self.post_message(ComparisonWanted((path,)))

    def action_race(self) -> None:
        """Watch the latest run again, all methods at once."""
        if (path := self._finished_session()) is not None:
            self.post_message(SessionChosen(path, replay=True))

    def _finished_session(self) -> Path | None:
        path = self._session or self.session_under_way
        if path is None:
            self.notify("nothing measured yet – F5 starts a run, F3 shows earlier ones", severity="warning")
        return path
