"""Each phase of a real worker meets each fault: the row says what happened, the next method runs, nothing is left."""

import asyncio
import os
import signal
import sys
import time
from contextlib import aclosing, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from tests.measure.control_groups import frozen, group
from tests.scripted_methods import provide, save_toy_model
from tuibench.core.machine.validity import Lamp
from tuibench.core.run.events import FailureKind, Phase
from tuibench.core.run.spec import RunSpec
from tuibench.core.run.state import MethodStatus
from tuibench.measure.process.supervisor import WORKER_COMMAND
from tuibench.measure.process.time_limits import Deadlines, TimeLimits
from tuibench.measure.run.measurement import Measurement
from tuibench.models.folder import open_folder
from tuibench.store.session import load

# No machine is that slow; a hang is found by a shorter limit of the phase it is in, in a run of that method alone.
PATIENT = TimeLimits(phase_s=dict.fromkeys(Phase, 600.0), token_s=600.0, heartbeat_s=600.0, terminate_s=1.0)
PHASES = ("prepare", "load", "prefill", "decode")
ENDINGS = [
    ("sigkill", FailureKind.KILLED, "SIGKILL"),
    ("segfault", FailureKind.CRASHED, "SIGSEGV"),
    ("out-of-memory", FailureKind.OUT_OF_MEMORY, "memory"),
    ("exception", FailureKind.ERROR, "it broke"),
    ("not-utf8", FailureKind.ERROR, "bad"),
    ("exit", FailureKind.CRASHED, "exit code 3"),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return provide(tmp_path_factory.mktemp("methods") / "installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUIBENCH_CACHE", str(folder / "cache"))
        return open_folder(save_toy_model(folder / "toy"))


@pytest.fixture(autouse=True)
def _own(monkeypatch, tmp_path, environment):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


async def run(model, folder, *, limits=PATIENT, command=WORKER_COMMAND, methods=("faulty", "sound"), **changes):
    spec = RunSpec(model="toy", methods=methods, prompt="a b", n_trials=1, n_warmup=0, max_new_tokens=4, **changes)
    measurement = Measurement(spec, model, folder, limits=limits, worker_command=command)
    async with aclosing(measurement.events()) as events:
        *_, (_, state) = [folded async for folded in events]
    return state, load(measurement.session_path)


def workers():
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "tuibench.worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def check(state, session, kind, phase, words):
    (failure,) = state.methods["faulty"].records
    assert (failure.failure_kind, failure.failure_phase) == (kind, phase), failure.failure_message
    assert words in failure.failure_message
    assert all(method.status is MethodStatus.DONE for name, method in state.methods.items() if name != "faulty")
    assert [trial.method for trial in session.trials] == list(state.methods)
    assert session.dropped == ()
    assert workers() == []


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(("fault", "kind", "words"), ENDINGS, ids=[fault for fault, *_ in ENDINGS])
async def test_a_worker_that_ends_is_a_row_with_the_reason(model, tmp_path, monkeypatch, phase, fault, kind, words):
    monkeypatch.setenv("TUIBENCH_TEST_FAULT", f"{phase}:{fault}")
    check(*await run(model, tmp_path), kind, Phase(phase), words)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fault", ["hang", "hold-the-interpreter", "stop"])
async def test_a_worker_that_hangs_is_ended_when_its_time_is_over(model, tmp_path, monkeypatch, phase, fault):
    monkeypatch.setenv("TUIBENCH_TEST_FAULT", f"{phase}:{fault}")
    limits = replace(PATIENT, phase_s=PATIENT.phase_s | {Phase(phase): 1.5}, token_s=1.5, terminate_s=0.3)
    found = await run(model, tmp_path, limits=limits, methods=("faulty",))
    check(*found, FailureKind.TIMED_OUT, Phase(phase), phase)


async def test_a_worker_without_a_sign_of_life_is_hung_before_its_time_is_over(model, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_TEST_FAULT", "load:hold-the-interpreter")
    real = Deadlines.enter

    def enter(self, phase):
        real(self, phase)
        self._limits = replace(PATIENT, heartbeat_s=2.5) if phase is Phase.LOAD else PATIENT  # not while Python starts

    monkeypatch.setattr(Deadlines, "enter", enter)
    found = await run(model, tmp_path, methods=("faulty",))
    check(*found, FailureKind.HUNG, Phase.LOAD, "no sign of life for 2 s")


async def test_a_worker_that_never_stops_writing_does_not_fill_the_disk(model, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_TEST_FAULT", "load:endless-output")
    monkeypatch.setattr("tuibench.measure.process.supervisor.MAX_LOG_BYTES", 1 << 20)
    check(*await run(model, tmp_path), FailureKind.ERROR, Phase.LOAD, "to its log")


@pytest.mark.parametrize(
    ("program", "kind", "words"),
    [
        ("import os; os.kill(os.getpid(), 9)", FailureKind.KILLED, "SIGKILL"),
        ("import os; os.kill(os.getpid(), 11)", FailureKind.CRASHED, "SIGSEGV"),
        ("raise SystemExit(3)", FailureKind.CRASHED, "exit code 3"),
        ("print('hello')", FailureKind.PROTOCOL, "hello"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\n')", FailureKind.PROTOCOL, "no event"),
        ("import sys\nwhile True: sys.stdout.write('x' * 65536)", FailureKind.PROTOCOL, "more than"),
        ("print('[' * 100000)", FailureKind.PROTOCOL, "no event"),
        ("import time; time.sleep(600)", FailureKind.TIMED_OUT, "start"),
    ],
    ids=["sigkill", "segfault", "exit", "text", "not-utf8", "endless-line", "nested", "slow"],
)
async def test_a_worker_that_never_gets_to_speak_is_a_row(model, tmp_path, program, kind, words):
    start_s = 1.0 if kind is FailureKind.TIMED_OUT else 600.0
    limits = TimeLimits(phase_s=PATIENT.phase_s | {Phase.START: start_s}, heartbeat_s=600.0, terminate_s=0.3)
    command = (sys.executable, "-c", program)
    state, session = await run(model, tmp_path, limits=limits, command=command, methods=("faulty",))
    (failure,) = session.trials
    assert (failure.failure_kind, failure.failure_phase) == (kind, Phase.START)
    assert words in failure.failure_message
    assert state.methods["faulty"].status is MethodStatus.FAILED


async def test_a_clock_that_jumps_back_changes_no_figure(model, tmp_path, monkeypatch):
    """The wall clock only dates records: a jump between two trials is seen in the dates, nowhere else."""

    class Jumping(datetime):
        jumps = iter(range(100))

        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=next(cls.jumps))

    monkeypatch.setattr("tuibench.measure.run.trial_under_way.datetime", Jumping)
    state, session = await run(model, tmp_path, methods=("sound", "faulty"))
    first, second = session.trials
    assert first.finished - second.finished > timedelta(hours=23)
    assert all(0 < trial.ttft_ns < 60e9 and all(0 <= step < 60e9 for step in trial.step_ns) for trial in session.trials)
    assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}


def hold_still(hold):
    """Wait until the one worker has stopped itself, hold it for two seconds more, and let it go on."""
    while not (found := [worker for worker in workers() if worker.status() == psutil.STATUS_STOPPED]):
        time.sleep(0.02)
    with hold(found[0].pid):
        time.sleep(2)
    os.kill(found[0].pid, signal.SIGCONT)


@pytest.fixture(params=["SIGSTOP", "freezer"])
def hold(request):
    """Return what keeps a stopped process from going on, whatever signal it gets meanwhile."""
    if request.param == "SIGSTOP":
        yield lambda _: nullcontext()
        return

    @contextmanager
    def held_by_freezer(pid):
        with frozen(folder, pid):
            os.kill(pid, signal.SIGCONT)  # from here on nothing but the freezer holds it
            yield

    with group("freezer") as folder:
        yield held_by_freezer


async def test_a_worker_that_stood_still_within_a_trial_has_a_red_lamp_and_the_reason(
    model, tmp_path, monkeypatch, hold
):
    monkeypatch.setenv("TUIBENCH_TEST_FAULT", "decode:stop")
    watching = asyncio.create_task(asyncio.to_thread(hold_still, hold))
    spec = RunSpec(model="toy", methods=("faulty", "sound"), prompt="a b", n_trials=1, n_warmup=0, max_new_tokens=2)
    measurement = Measurement(spec, model, tmp_path, limits=PATIENT)
    async with aclosing(measurement.events()) as events:
        async for _ in events:
            pass
    await watching
    still, sound = load(measurement.session_path).trials
    assert still.step_ns[0] > 2e9
    assert still.lamp is Lamp.RED
    assert any("stood still" in reason for reason in still.validity)
    assert not any("stood still" in reason for reason in sound.validity)
    assert still.finished.tzinfo == UTC
