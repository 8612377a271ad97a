import dataclasses
import threading
from pathlib import Path

from tests.ui.scripted import FINISHED, MODEL, Program, answering, until
from tuibench import paths
from tuibench.models.origin.pull_process import Pulled, PullProgress
from tuibench.store.catalogue import SessionSummary
from tuibench.ui.screens.bench import BenchScreen
from tuibench.ui.screens.pull import PullScreen
from tuibench.ui.screens.replay import ReplayScreen
from tuibench.ui.screens.sessions import SessionsScreen
from tuibench.ui.widgets.offer import Offer

SAMPLE = SessionSummary(paths.sample_sessions() / "s.toml", "first look", FINISHED, "SmolLM2", ("baseline",), 6)
OWN = dataclasses.replace(SAMPLE, path=Path("mine.toml"))


def notices(app):
    return [notice.message for notice in app._notifications]


async def settled(pilot):
    screen = pilot.app._bench
    await until(pilot, screen._facts_known.is_set)
    await pilot.app.workers.wait_for_complete([worker for worker in pilot.app.workers if worker.group == "welcome"])
    await pilot.pause()


async def test_with_nothing_here_the_recording_plays_and_the_model_is_offered():
    program = Program(model=None, sessions=[SAMPLE])
    program.pull_steps = [PullProgress("weights", 1, 2), MODEL, Pulled("SmolLM2-135M-Instruct")]
    async with program.app().run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: pilot.app.screen.query(Offer))
        assert isinstance(pilot.app.screen, ReplayScreen)
        await until(pilot, lambda: pilot.app.screen.run.running)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: isinstance(pilot.app.screen, PullScreen))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReplayScreen))
        await until(pilot, lambda: any("the model is here" in notice for notice in notices(pilot.app)))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, BenchScreen))
        assert pilot.app.screen._model is MODEL
        assert pilot.app.screen.prompt.has_focus


async def test_the_recording_does_not_get_in_the_way_of_who_has_gone_on_already():
    program = Program(model=None, sessions=[SAMPLE])
    looked, load = threading.Event(), program.services.load_session

    def load_late(path):
        looked.wait()
        return load(path)

    program.services = answering(program.services, load_session=load_late)
    async with program.app().run_test(size=(120, 40)) as pilot:
        await pilot.app.action_show_mode("sessions")
        looked.set()
        await pilot.app.workers.wait_for_complete([each for each in pilot.app.workers if each.group == "welcome"])
        await pilot.pause()
        assert isinstance(pilot.app.screen, SessionsScreen)


async def test_who_has_measured_before_comes_to_the_bench_at_once():
    async with Program(model=None, sessions=[SAMPLE, OWN]).app().run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert isinstance(pilot.app.screen, BenchScreen)


async def test_who_has_the_model_comes_to_the_bench_at_once():
    async with Program(sessions=[SAMPLE]).app().run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert isinstance(pilot.app.screen, BenchScreen)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: any("is here" in notice for notice in notices(pilot.app)))


async def test_a_session_that_is_being_measured_is_not_deleted():
    program = Program(sessions=[dataclasses.replace(OWN, path=Path("20260301-first.toml"))])
    async with program.app().run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        pilot.app._bench._live = program.run
        await pilot.press("f3")
        screen = pilot.app.screen
        assert isinstance(screen, SessionsScreen)
        await until(pilot, lambda: screen.table.n_rows)
        await pilot.press("x")
        assert any("being measured" in notice for notice in notices(pilot.app))
