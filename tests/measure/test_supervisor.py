import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tuibench.core.run.events import PROTOCOL_VERSION, FailureKind, Phase, TokenEmitted, TrialFinished
from tuibench.core.run.spec import LoadRequest, TrialRequest
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.measure.process.supervisor import WorkerProcess
from tuibench.measure.process.time_limits import Deadlines, TimeLimits

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
    command = (sys.executable, str(SCRIPT), behaviour, str(tmp_path / "gate"))
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
        ("real-time-signal", FailureKind.CRASHED, Phase.DECODE, "SIGRTMIN+3"),
        ("exit-3", FailureKind.CRASHED, Phase.DECODE, "exit code 3"),
        ("rubbish", FailureKind.PROTOCOL, Phase.DECODE, "Loading ␛[2J model"),
        ("not-utf8", FailureKind.PROTOCOL, Phase.DECODE, "no event"),
        ("endless-line", FailureKind.PROTOCOL, Phase.DECODE, "more than"),
        ("endless-tokens", FailureKind.PROTOCOL, Phase.DECODE, "out of order"),
        ("hang", FailureKind.TIMED_OUT, Phase.DECODE, "decode"),
        ("flood", FailureKind.TIMED_OUT, Phase.DECODE, "decode"),
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


async def test_a_worker_that_reads_no_requests_has_the_time_of_the_phase_that_should_begin(tmp_path):
    worker = await start(tmp_path, "reads-nothing", limits({Phase.PREFILL: 0.3}))
    try:
        _ = [event async for event in worker.ready()]
        request = TrialRequest(prompt="more than any pipe holds " * 100_000, max_new_tokens=6)
        with pytest.raises(WorkerFailureError) as caught:
            _ = [event async for event in worker.trial(request)]
    finally:
        await worker.end()
    assert (caught.value.kind, caught.value.phase) == (FailureKind.TIMED_OUT, Phase.PREFILL)
    assert not psutil.pid_exists(worker.pid)


def put_forward(seconds):
    """Move the clock that time-outs are taken from."""
    loop = asyncio.get_running_loop()
    real = loop.time
    loop.time = lambda: real() + seconds


def let_finish(gate):
    """Open the gate of a worker and wait until it has written all its events; nothing else of this process goes on."""
    gate.touch()
    while gate.exists():
        time.sleep(0.01)


async def listen(worker, on_third):
    """Return the last event of a trial; at the third token the worker waits for its gate."""
    _ = [event async for event in worker.ready()]
    async for event in worker.trial(TrialRequest(prompt="p", max_new_tokens=6)):
        last = event
        if isinstance(event, TokenEmitted) and event.index == 2:
            on_third()
    return last


async def test_what_a_worker_said_while_nobody_listened_counts(tmp_path):
    """As when a terminal takes no more, and a print waits for it."""
    worker = await start(tmp_path, "gated")

    def blocked():
        let_finish(tmp_path / "gate")
        put_forward(10_000)

    try:
        assert isinstance(await listen(worker, blocked), TrialFinished)
    finally:
        await worker.end()


async def test_a_worker_that_stood_still_together_with_this_process_has_its_time_left(tmp_path, monkeypatch):
    """As when a container is frozen: when it goes on, nothing is in the pipe yet."""
    worker = await start(tmp_path, "gated")
    n_looks, real, waiting, judged = 0, Deadlines.look, asyncio.Event(), asyncio.Event()

    def look(self):
        nonlocal n_looks
        n_looks += waiting.is_set()
        if n_looks > 1:
            judged.set()
        return real(self)

    monkeypatch.setattr(Deadlines, "look", look)
    listening = asyncio.create_task(listen(worker, waiting.set))
    try:
        await waiting.wait()
        put_forward(10_000)
        await judged.wait()
        (tmp_path / "gate").touch()
        assert isinstance(await listening, TrialFinished)
    finally:
        await worker.end()


async def test_a_process_that_was_stopped_and_goes_on_finds_its_trial_finished(tmp_path):
    program = (
        "import asyncio, os, signal\n"
        "from pathlib import Path\n"
        "from tests.measure.test_supervisor import limits, listen, start\n"
        "async def main():\n"
        f"    worker = await start(Path({str(tmp_path)!r}), 'gated', limits(token_s=2.0))\n"
        "    print(type(await listen(worker, lambda: os.kill(os.getpid(), signal.SIGSTOP))).__name__)\n"
        "    await worker.end()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)

    def stop_for_longer_than_its_limit():
        while psutil.Process(parent.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        let_finish(tmp_path / "gate")
        time.sleep(2.5)
        parent.send_signal(signal.SIGCONT)

    await asyncio.to_thread(stop_for_longer_than_its_limit)
    assert (await parent.communicate())[0] == b"TrialFinished\n"


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
