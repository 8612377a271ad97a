import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tuibench.core.events import PROTOCOL_VERSION, FailureKind, Phase, TokenEmitted, TrialFinished
from tuibench.core.spec import LoadRequest, TrialRequest
from tuibench.measure.failure import WorkerFailureError
from tuibench.measure.supervisor import WorkerProcess
from tuibench.measure.time_limits import TimeLimits

SCRIPT = Path(__file__).with_name("scripted_worker.py")


def limits(phase_s=(), **shorter):
    """Return limits that no machine is too slow for, save those that a test wants to see reached."""
    patient = {"token_s": 600.0, "heartbeat_s": 600.0, "terminate_s": 0.4}
    return TimeLimits(phase_s=dict.fromkeys(Phase, 600.0) | dict(phase_s), **(patient | shorter))


def group_members(group):
    """Return the living processes of a process group; init may not have buried the dead ones yet."""
    members = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


async def start(tmp_path, behaviour, within=None):
    load = LoadRequest(protocol=PROTOCOL_VERSION, method="scripted", model_dir="", n_threads=1)
    command = (sys.executable, str(SCRIPT), behaviour)
    return await WorkerProcess.start(load, tmp_path / "worker.log", within or limits(), command)


async def run_trial(worker, n_tokens=6):
    events = [event async for event in worker.ready()]
    return events + [event async for event in worker.trial(TrialRequest(prompt="p", max_new_tokens=n_tokens))]


async def failure_of(worker, n_tokens=6):
    try:
        with pytest.raises(WorkerFailureError) as caught:
            await run_trial(worker, n_tokens)
    finally:
        await worker.end()
    return caught.value


async def test_a_good_worker_serves_one_trial_after_another(tmp_path):
    worker = await start(tmp_path, "good")
    try:
        events = await run_trial(worker)
        assert [event.index for event in events if isinstance(event, TokenEmitted)] == list(range(6))
        again = [event async for event in worker.trial(TrialRequest(prompt="p", max_new_tokens=2))]
        assert isinstance(again[-1], TrialFinished)
        assert worker.observer_cpu_ns is not None
    finally:
        await worker.end()
    assert not psutil.pid_exists(worker.pid)


@pytest.mark.parametrize(
    ("behaviour", "kind", "phase", "words"),
    [
        ("segfault", FailureKind.CRASHED, Phase.DECODE, "SIGSEGV"),
        ("sigkill", FailureKind.KILLED, Phase.DECODE, "SIGKILL"),
        ("exit-3", FailureKind.CRASHED, Phase.DECODE, "exit code 3"),
        ("rubbish", FailureKind.PROTOCOL, Phase.DECODE, "Loading ␛[2J model"),
        ("not-utf8", FailureKind.PROTOCOL, Phase.DECODE, "no event"),
        ("endless-line", FailureKind.PROTOCOL, Phase.DECODE, "more than"),
        ("endless-tokens", FailureKind.PROTOCOL, Phase.DECODE, "out of order"),
        ("hang", FailureKind.TIMED_OUT, Phase.DECODE, "decode"),
        ("stopped", FailureKind.TIMED_OUT, Phase.DECODE, "decode"),
        ("close-pipe", FailureKind.CRASHED, Phase.DECODE, "closed its event pipe"),
        ("says-why", FailureKind.ERROR, Phase.DECODE, "ValueError: no"),
        ("deaf", FailureKind.TIMED_OUT, Phase.DECODE, "decode"),
        ("other-protocol", FailureKind.PROTOCOL, Phase.START, "protocol 999"),
        ("not-a-worker", FailureKind.PROTOCOL, Phase.START, "hello"),
        ("unsupported", FailureKind.UNSUPPORTED, Phase.LOAD, "no encoder-decoders"),
    ],
)
async def test_whatever_a_worker_does_becomes_one_failure_and_leaves_no_process(
    tmp_path, behaviour, kind, phase, words
):
    within = limits(token_s=0.6) if kind is FailureKind.TIMED_OUT else limits()
    worker = await start(tmp_path, behaviour, within)
    failure = await failure_of(worker)
    assert (failure.kind, failure.phase) == (kind, phase)
    assert words in failure.message
    assert not psutil.pid_exists(worker.pid)


async def test_a_crash_brings_the_end_of_the_log(tmp_path):
    assert "about to crash" in (await failure_of(await start(tmp_path, "segfault"))).log_tail


async def test_a_phase_that_takes_too_long_is_named(tmp_path):
    failure = await failure_of(await start(tmp_path, "hang-in-load", limits({Phase.LOAD: 0.3})))
    assert (failure.kind, failure.phase) == (FailureKind.TIMED_OUT, Phase.LOAD)


async def test_silence_counts_as_hung_before_the_phase_is_over(tmp_path):
    failure = await failure_of(await start(tmp_path, "stopped", limits(heartbeat_s=0.4)))
    assert failure.kind is FailureKind.HUNG


@pytest.mark.parametrize("behaviour", ["hang", "deaf"])
async def test_interrupt_ends_even_a_deaf_worker_and_gives_its_own_reason(tmp_path, behaviour):
    worker = await start(tmp_path, behaviour)
    seen = asyncio.Event()

    async def watch():
        async for _ in worker.ready():
            pass
        async for event in worker.trial(TrialRequest(prompt="p", max_new_tokens=6)):
            if isinstance(event, TokenEmitted):
                seen.set()

    watching = asyncio.create_task(watch())
    await seen.wait()
    worker.interrupt(FailureKind.SKIPPED)
    with pytest.raises(WorkerFailureError) as caught:
        await watching
    await worker.end()
    assert caught.value.kind is FailureKind.SKIPPED
    assert not psutil.pid_exists(worker.pid)


async def test_children_of_a_worker_end_with_it(tmp_path):
    worker = await start(tmp_path, "child", limits(token_s=0.6))
    await failure_of(worker)
    _, alive = psutil.wait_procs(group_members(worker.pid), timeout=120)
    assert not alive


async def test_a_command_that_does_not_exist_is_a_failure_with_its_name(tmp_path):
    load = LoadRequest(protocol=PROTOCOL_VERSION, method="m", model_dir="", n_threads=1)
    with pytest.raises(WorkerFailureError, match="no-such-program"):
        await WorkerProcess.start(load, tmp_path / "log", limits(), ("no-such-program",))


async def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    """The parent is a process of its own here, so that it can be killed for good."""
    program = (
        "import asyncio,sys\n"
        "from tests.measure.test_supervisor import start\n"
        "from pathlib import Path\n"
        "async def main():\n"
        f"    worker = await start(Path({str(tmp_path)!r}), 'real')\n"
        "    print(worker.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    pid = int(await parent.stdout.readline())
    worker = psutil.Process(pid)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await asyncio.to_thread(worker.wait, 120)
    assert not worker.is_running()
