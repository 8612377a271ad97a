"""Going on with a session that was cut short, by keys."""

import os
import subprocess
import sys

import msgspec
import psutil
import pytest

import tuibench
from tests.scripted import failed
from tests.scripted_methods import provide, save_toy_model
from tests.ui.scripted import (
    FINISHED,
    HOLD,
    METHODS,
    MODEL,
    Program,
    ScriptedServices,
    answering,
    start,
    trial,
    until,
    whole_run,
)
from tests.ui.scripted import session as stored_session
from tuibench import paths
from tuibench.core.run.events import FailureKind
from tuibench.core.run.plan import trial_order
from tuibench.core.run.run_events import RecordsRestored, RunEnded, RunStarted
from tuibench.core.run.spec import Method
from tuibench.core.run.state import MethodStatus
from tuibench.machine.fingerprint import machine_header
from tuibench.store.catalogue import find_session
from tuibench.store.session import load
from tuibench.store.writer import SessionWriter
from tuibench.ui.app import TuibenchApp
from tuibench.ui.screens.bench import BenchScreen
from tuibench.ui.screens.replay import ReplayScreen
from tuibench.ui.screens.resume import ResumeScreen
from tuibench.ui.services import Services

BOTH = ("baseline", "kv-cache")
TURNS = trial_order(BOTH, 2)
GOOD = [trial(turn.method, turn.index)[-1].record for turn in TURNS]
CRASHED = failed("kv-cache", FailureKind.CRASHED)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """No samples, so that the session of a test is the only one."""
    monkeypatch.setattr(paths, "sample_sessions", lambda: tmp_path / "samples")
    return paths.sessions_dir()


def save(records, *, folder=None, digest=MODEL.digest, **changes):
    """Write a session of two trials of each of two methods."""
    header = stored_session(BOTH, 2).header
    fields = {"machine": machine_header(), "tuibench_version": tuibench.__version__, "name": "cut short"} | changes
    header = msgspec.structs.replace(
        header, model=msgspec.structs.replace(header.model, digest=digest), created=FINISHED, **fields
    )
    path = (folder or paths.sessions_dir()) / "cut-short.toml"
    writer = SessionWriter(path, header)
    for record in records:
        writer.append(record)
    return path


def program(kept=GOOD[:1], **options):
    """A program whose sessions are files, and whose measurement restores some records and takes the other trials."""
    missing = TURNS[len(kept) :]
    script = [RunStarted(BOTH, TURNS), RecordsRestored(tuple(kept), ())]
    for turn in missing:
        script += trial(turn.method, turn.index)
    made, real = Program([*script, RunEnded()], **options), Services()
    made.services = answering(
        made.services,
        sessions=real.sessions,
        load_session=real.load_session,
        find_model=lambda _name: made.model,
    )
    return made


def notices(app):
    return [notice.message for notice in app._notifications]


def said(app):
    return app.screen.query_one("#dialog Static").content.plain


async def asked(pilot):
    """Press R on the only session, and wait for the question."""
    await pilot.press("f3")
    screen = pilot.app.screen
    await until(pilot, lambda: screen.table.n_rows and not screen._n_unread)
    await pilot.press("R")
    await until(pilot, lambda: isinstance(pilot.app.screen, ResumeScreen))
    await pilot.pause()


async def gone_on(pilot):
    await until(pilot, lambda: isinstance(pilot.app.screen, BenchScreen))
    bench = pilot.app.screen
    await until(pilot, lambda: bench.run.methods and not bench.run.running and bench._live is None)
    return bench


async def test_a_session_goes_on_with_what_is_missing():
    path, made = save(GOOD[:1]), program()
    async with made.app().run_test(size=(80, 24)) as pilot:
        await asked(pilot)
        assert "3 trials of 4 missing" in said(pilot.app)
        assert " f " not in pilot.app.screen.query_one("#dialog").border_subtitle  # nothing failed
        await pilot.press("enter")
        bench = await gone_on(pilot)
        assert (made.resumed.path, made.resumed.retry_failed) == (path, False)
        (spec,) = made.specs
        assert (spec.methods, spec.prompt, spec.n_trials) == (BOTH, "Explain a KV cache.", 2)
        assert [method.status for method in bench.run.methods.values()] == [MethodStatus.DONE] * 2
        assert bench.run.methods["baseline"].records[0] == GOOD[0]
        # What is asked for on the screen is what was measured.
        assert bench.prompt.text == "Explain a KV cache."
        assert bench.settings.summary.startswith("48 tokens × 2 · 2 threads")


@pytest.mark.parametrize(("key", "retry_failed"), [("enter", False), ("f", True)])
async def test_failed_trials_are_taken_again_if_asked_for(key, retry_failed):
    save([GOOD[0], CRASHED])
    made = program()
    async with made.app().run_test(size=(80, 24)) as pilot:
        await asked(pilot)
        assert "2 trials of 4 missing" in said(pilot.app)
        assert "1 trial failed or skipped" in said(pilot.app)
        await pilot.press(key)
        await gone_on(pilot)
        assert made.resumed.retry_failed is retry_failed


async def test_escape_measures_nothing():
    save(GOOD[:1])
    made = program()
    async with made.app().run_test(size=(80, 24)) as pilot:
        await asked(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, ResumeScreen))
        assert made.specs == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"machine": msgspec.structs.replace(machine_header(), cpu="Other [CPU]")}, "another machine: CPU: "),
        ({"digest": "f" * 64}, "has other weights"),
        ({"tuibench_version": "0.0.1"}, "tuibench 0.0.1 measured it"),
    ],
)
async def test_what_stands_in_the_way_is_said_and_nothing_is_measured(changes, reason):
    save(GOOD[:1], **changes)
    made = program()
    async with made.app().run_test(size=(80, 24)) as pilot:
        await asked(pilot)
        assert reason in said(pilot.app)
        await pilot.press("f")
        assert isinstance(pilot.app.screen, ResumeScreen)
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, ResumeScreen))
        assert made.specs == []


async def test_a_model_that_is_not_here_stands_in_the_way():
    save(GOOD[:1])
    async with program(model=None).app().run_test(size=(80, 24)) as pilot:
        await asked(pilot)
        assert "is not on this machine" in said(pilot.app)


async def test_of_a_whole_session_more_trials_are_taken():
    path, made = save(GOOD), program()
    async with made.app().run_test(size=(80, 24)) as pilot:
        await asked(pilot)
        assert "Nothing is missing" in said(pilot.app)
        assert "3 more of each method" in said(pilot.app)
        await pilot.press("enter")
        bench = await gone_on(pilot)
        (spec,) = made.specs
        assert (made.resumed.path, spec.n_trials, spec.max_trials) == (path, 2, 5)
        assert bench.ladder.has_focus
        assert bench.settings.preset == "own"


async def test_a_stopped_run_goes_on_from_where_it_stopped():
    path, made = save(GOOD[:1]), program()
    made.run.script = [RunStarted(BOTH, TURNS), *trial("baseline"), HOLD]
    made.run.session_path = path
    async with made.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        bench = pilot.app.screen
        await until(pilot, lambda: bench.run.n_done == 1)
        await pilot.press("R")
        assert any("F8 stops it" in notice for notice in notices(pilot.app))
        await pilot.press("f8")
        await until(pilot, lambda: bench._live is None)
        await until(pilot, lambda: any("R measures what is missing" in notice for notice in notices(pilot.app)))
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResumeScreen))
        await pilot.pause()
        made.run = Program(whole_run(BOTH)).run
        await pilot.press("y")
        await until(pilot, lambda: len(made.specs) == 2)
        assert made.resumed.path == path


async def test_an_opened_session_goes_on_too():
    save(GOOD[:1])
    made = program()
    async with made.app().run_test(size=(120, 40)) as pilot:
        await pilot.press("f3")
        await until(pilot, lambda: pilot.app.screen.table.n_rows)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReplayScreen))
        await pilot.pause()
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResumeScreen))
        await pilot.pause()
        await pilot.press("enter")
        await gone_on(pilot)
        assert made.resumed is not None


async def test_a_recording_that_ships_stays_as_it_is():
    path = save(GOOD[:1], folder=paths.sample_sessions())
    before = path.read_bytes()
    async with program().app().run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await until(pilot, lambda: pilot.app.screen.table.n_rows)
        await pilot.press("R")
        await until(pilot, lambda: any("stays as it is" in notice for notice in notices(pilot.app)))
    assert path.read_bytes() == before


async def test_a_file_that_cannot_be_read_is_told():
    paths.sessions_dir().mkdir(parents=True)
    (paths.sessions_dir() / "bad.toml").write_text("not = = TOML")
    async with program().app().run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await until(pilot, lambda: pilot.app.screen.table.n_rows)
        await pilot.press("R")
        await until(pilot, lambda: any("bad.toml" in notice for notice in notices(pilot.app)))


async def test_nothing_stopped_says_what_to_do():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await until(pilot, pilot.app.screen._facts_known.is_set)
        await pilot.press("escape", "R")
        await until(pilot, lambda: any("no run to go on with" in notice for notice in notices(pilot.app)))


async def test_the_palette_offers_it():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        titles = [command.title for command in pilot.app.get_system_commands(pilot.app.screen)]
        assert any(title.startswith("Resume") for title in titles), titles


def kill_in_second_trial(model):
    command = [sys.executable, "-m", "tuibench", "run", "--no-quality", "--model", str(model), "--methods", "sound"]
    command += ["--prompt", "a b", "--threads", "1", "--max-new-tokens", "20", "--trials", "3"]
    slow = os.environ | {"TUIBENCH_TEST_STEP_S": "0.1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=slow) as run:
        assert any(line.startswith("trial 2/3") for line in run.stderr)
        workers = psutil.Process(run.pid).children(recursive=True)
        run.kill()
    assert not psutil.wait_procs(workers, timeout=60)[1]


async def test_a_killed_run_goes_on_in_the_dashboard(tmp_path, monkeypatch):
    """`tuibench run` is killed in its second trial; the dashboard measures the others with real workers."""
    model = save_toy_model(tmp_path / "model")
    environment = provide(tmp_path / "installed")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    kill_in_second_trial(model)
    path = find_session("last", [paths.sessions_dir()])
    assert [each.index for each in load(path).trials if not each.warmup] == [0]

    sound = Method(id="sound", title="Sound", explanation="Works.", parent=None, precision="fp32")
    services = ScriptedServices(methods=lambda: {**METHODS, "sound": sound})
    app = TuibenchApp(model=str(model), services=services)
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(pilot)
        assert "2 trials of 3 missing" in said(app)
        await pilot.press("enter")
        bench = await gone_on(pilot)
        assert bench.run.methods["sound"].status is MethodStatus.DONE
    session = load(path)
    assert [(each.index, each.failed) for each in session.trials if not each.warmup] == [(n, False) for n in range(3)]
    assert [each.n_trials for each in session.resumed] == [2]  # the warm-up is one of them


@pytest.mark.parametrize("key", ["f2", "f3"])
async def test_the_palette_finds_model_settings_and_export_everywhere(key):
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await until(pilot, pilot.app.screen._facts_known.is_set)
        await pilot.press(key)
        titles = [command.title.partition(" (")[0] for command in pilot.app.get_system_commands(pilot.app.screen)]
        assert [titles.count(title) for title in ("Model", "Settings", "Export")] == [1, 1, 1]


@pytest.mark.parametrize("lacking", [True, False])
async def test_a_refusal_speaks_of_comparable_trials_only_where_nothing_can_be_done(lacking):
    save(GOOD[:1], digest=MODEL.digest if lacking else "other")
    made = program()
    if lacking:
        made.model = None
    async with made.app().run_test(size=(80, 24)) as pilot:
        await asked(pilot)
        assert "This session cannot go on here" in said(pilot.app)
        assert ("not be comparable" in said(pilot.app)) is not lacking
        assert "F2 starts a new session." in said(pilot.app)


async def test_one_failed_trial_is_it():
    save([*GOOD[:1], CRASHED])
    async with program().app().run_test(size=(80, 24)) as pilot:
        await asked(pilot)
        assert "1 trial failed or skipped: enter leaves it alone, f takes it again" in said(pilot.app)
