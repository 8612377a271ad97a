"""What a run that is over amounts to, and where to go from there."""

import re
from pathlib import Path

import msgspec
import pytest

from tests.ui.scripted import (
    FOUR,
    HOLD,
    KLD,
    METHODS,
    PARENTS,
    Program,
    answering,
    compared,
    scored,
    scored_session,
    session,
    start,
    trial,
    until,
    whole_run,
)
from tuibench import paths
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.comparison import compare
from tuibench.core.run.plan import trial_order
from tuibench.core.run.run_events import QualityEnded, RunEnded, RunStarted
from tuibench.store.export.facts import measured_run
from tuibench.store.session import load
from tuibench.store.side_by_side import SideBySide
from tuibench.ui.screens.compare import CompareScreen
from tuibench.ui.screens.export import ExportScreen
from tuibench.ui.screens.replay import ReplayScreen
from tuibench.ui.screens.take import TakeScreen
from tuibench.ui.take_process import TakeFailed, Taken, TakeStep
from tuibench.ui.text.result import result_of
from tuibench.ui.widgets.result_strip import _wrapped

METHODS_OF_FOUR = {
    name: msgspec.structs.replace(
        METHODS["kv-cache"], id=name, parent=PARENTS[name], precision="int8" if name == "int8-torch" else "fp32"
    )
    for name in FOUR
}
FINISHED_RUN = [*whole_run(FOUR, n_trials=3)[:-1], *(QualityEnded(scored(name)) for name in KLD), RunEnded()]


def said(comparison):
    found = result_of(comparison)
    return found.leader, found.sentence.plain, found.lamp[0]


def of(stored):
    return compare([measured_run(stored, "run")], parents=PARENTS)


def test_who_leads_is_said_with_the_yardstick_and_the_next():
    leader, sentence, _ = said(compared())
    assert leader == "int8-torch"
    assert sentence.startswith("Take int8-torch: 2.17× kv-cache [")
    assert "× onnx [" in sentence


def test_methods_beyond_the_limit_are_named_as_faster_and_are_no_runners_up():
    stored = load(paths.sample_sessions() / "sample-other-runtimes.toml")
    found = compare([measured_run(stored, "run")], parents={"fused-int8": "kv-cache"})
    leader, sentence, _ = said(found)
    assert leader == "fused-int8"
    assert "× int8-dynamic [" in sentence
    assert sentence.endswith("Faster, but beyond KLD 0.05: fused-int4 (KLD 0.0701).")


def test_a_disturbed_leader_is_only_probable_and_says_why():
    stored = scored_session()
    shaken = [
        msgspec.structs.replace(each, lamp=Lamp.RED, validity=("other processes used 51 % of the CPU",))
        if each.method == "int8-torch" and each.index == 0 else each
        for each in stored.trials
    ]  # fmt: skip
    _, sentence, lamp = said(of(msgspec.structs.replace(stored, trials=tuple(shaken))))
    assert sentence.startswith("Probably int8-torch")
    assert "badly disturbed (other processes used 51 % of the CPU)" in sentence
    assert lamp == "! disturbed"


def test_what_is_not_told_apart_is_said_so():
    stored = scored_session()
    alike = [
        msgspec.structs.replace(
            each, step_ns=tuple(gap * (11 + (each.index * 2 + 1) % 5) // 19 for gap in each.step_ns)
        ) if each.method == "onnx" else each
        for each in stored.trials
    ]  # fmt: skip
    _, sentence, _ = said(of(msgspec.structs.replace(stored, trials=tuple(alike))))
    assert "not told apart from" in sentence


def test_too_few_trials_tell_nothing():
    _, sentence, _ = said(of(session(FOUR, n_trials=1)))
    assert sentence.startswith("Cannot tell yet; fastest so far: int8-torch")
    assert "too few" in sentence


def test_a_reference_alone_has_its_speed_told_and_nothing_to_choose_from():
    leader, sentence, _ = said(of(session(("kv-cache",), n_trials=3)))
    assert leader == "kv-cache"
    assert re.fullmatch(r"Nothing to choose from but kv-cache\. kv-cache: [0-9.]+ tok/s, the yardstick\.", sentence)


@pytest.mark.parametrize("width", range(24, 90))
def test_no_interval_is_broken(width):
    _, sentence, _ = said(compared())
    lines = [line.plain for line in _wrapped(result_of(compared()).sentence, width)]
    assert " ".join(line.strip() for line in lines) == sentence
    assert all(line.count("[") == line.count("]") and len(line.rstrip()) <= width for line in lines)


def test_nothing_measured_is_no_result():
    assert result_of(of(msgspec.structs.replace(session(), trials=()))) is None


def finished(**options):
    program = Program(FINISHED_RUN, methods=METHODS_OF_FOUR, **options)
    stored = scored_session()
    program.services = answering(
        program.services,
        load_session=lambda _path: stored,
        compare=lambda _paths, yardstick: SideBySide(compared(1, yardstick)),
        why_not_taken=lambda method: "int8-torch cannot be taken" if method == "int8-torch" else None,
        take_folder=lambda model, method: Path(f"{model}-{method}"),
    )
    return program


async def ended(pilot):
    await start(pilot)
    screen = pilot.app.screen
    await until(pilot, lambda: screen.run.methods and not screen.run.running and screen._live is None)
    await pilot.pause()
    return screen


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (100, 30), (120, 40), (200, 60)])
async def test_at_every_size_the_end_of_a_run_says_who_leads_and_which_keys_go_on(size):
    async with finished().app().run_test(size=size) as pilot:
        screen = await ended(pilot)
        lines = screen.strip.render().plain.splitlines()
        assert lines[0].startswith("Take int8-torch: 2.18× kv-cache [2.18, 2.18]")
        assert " ".join(lines[-1].split()) == "c why R 3 more trials d details e report u use it"
        assert screen.strip.region.bottom <= screen.size.height
        assert screen.strip.content_size.height == len(lines)
        assert screen.ladder.pointed == "int8-torch"
        assert screen.ladder.has_focus


async def test_a_run_that_goes_on_has_no_result():
    script = [RunStarted(FOUR, trial_order(FOUR, 1)), *trial("baseline"), HOLD]
    async with Program(script, methods=METHODS_OF_FOUR).app().run_test(size=(80, 24)) as pilot:
        await start(pilot)
        screen = pilot.app.screen
        await until(pilot, lambda: screen.run.n_done)
        assert not screen.strip.display
        await pilot.press("u", "e")
        assert [notice.message for notice in pilot.app._notifications] == ["no result yet – a run has to end first"] * 2


async def test_methods_that_were_not_measured_are_folded():
    many = {**METHODS, **{f"more-{n}": msgspec.structs.replace(METHODS["kv-cache"], id=f"more-{n}") for n in range(9)}}
    async with Program(methods=many).app().run_test(size=(80, 24)) as pilot:
        screen = await ended(pilot)
        assert screen.ladder.methods == ("baseline", "kv-cache")
        assert screen.ladder.plain_rows[2] == "▸ 9 more methods"
        await pilot.press("G", "enter")
        assert screen.ladder.methods[2:] == tuple(many)[2:]
        await pilot.press("j", "space", "k", "enter")
        assert screen.ladder.plain_rows[2] == "▸ 9 more methods, 1 of them chosen"
        assert screen.ladder.chosen == ("baseline", "kv-cache", "more-0")
        await pilot.press("k", "enter")
        assert screen.prompt.has_focus


async def test_the_keys_of_the_result_lead_on():
    async with finished().app().run_test(size=(120, 40)) as pilot:
        screen = await ended(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExportScreen))
        await pilot.pause()
        assert pilot.app.screen.rows.pointed == "html"


async def test_a_click_on_a_key_of_the_result_presses_it():
    async with finished().app().run_test(size=(120, 40)) as pilot:
        screen = await ended(pilot)
        x, y = screen.strip.content_region.offset
        await pilot.click(offset=(x + 1, y + 1))
        await until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen))


async def test_the_winner_goes_home_in_two_keys_and_its_folder_is_named():
    program = finished()
    program.take_events = [TakeStep("loading"), TakeStep("writing the folder"), Taken(Path("home"))]
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = await ended(pilot)
        await pilot.press("u")
        await until(pilot, lambda: isinstance(pilot.app.screen, TakeScreen))
        await pilot.pause()
        form = pilot.app.screen

        def shown():
            return str(form.query_one("#take").content)

        assert "int8-torch cannot be taken" in shown()
        await pilot.press("enter")
        assert program.taken == []
        await pilot.press("right", "enter")  # the next fastest
        await until(pilot, lambda: "it runs by itself" in shown())
        (request,) = program.taken
        assert (request.method, request.model) == ("onnx", "SmolLM2-135M-Instruct")
        assert "/SmolLM2-135M-Instruct-onnx" in shown()
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)


async def test_a_folder_that_cannot_be_made_says_why_and_can_be_tried_again():
    program = finished()
    program.take_events = [TakeStep("loading"), TakeFailed("onnx cannot be taken: no space left")]
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = await ended(pilot)
        screen.ladder.focus()
        await pilot.press("k", "u")
        await until(pilot, lambda: isinstance(pilot.app.screen, TakeScreen))
        await pilot.pause()
        for n in (1, 2):
            await pilot.press("enter")
            await until(pilot, lambda n=n: len(program.taken) == n)
            await until(pilot, lambda: "no space left" in str(pilot.app.screen.query_one("#take").content))
        assert {request.method for request in program.taken} == {"onnx"}


async def test_an_opened_session_has_its_result_too():
    async with finished().app().run_test(size=(80, 24)) as pilot:
        screen = ReplayScreen(pilot.app.context, scored_session(), path=Path("x.toml"))
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: screen.strip.display)
        await pilot.press("r")
        await until(pilot, lambda: screen.has_class("-racing"))
        await pilot.pause()
        assert screen.strip not in screen._compositor.visible_widgets
        await pilot.press("r", "u")
        await until(pilot, lambda: isinstance(pilot.app.screen, TakeScreen))
