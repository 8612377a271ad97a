"""The two ends of a connection, with launchers that are scripts."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

import tuibench
from tests.hosts.launchers import ROOT, like_docker, like_kubectl, like_ssh, script
from tuibench.core.run.events import PROTOCOL_VERSION, FailureKind, WorkerStarted
from tuibench.core.run.host import Host
from tuibench.core.run.spec import Calibration, LoadRequest
from tuibench.machine.fingerprint import machine_header
from tuibench.machine.lock import somebody_measures
from tuibench.measure.hosts import connection
from tuibench.measure.hosts.another_machine import AnotherMachine
from tuibench.measure.hosts.check import checked
from tuibench.measure.hosts.frames import FrameError, Frames, frame
from tuibench.measure.hosts.host import HostUnusableError
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.measure.process.time_limits import TimeLimits


def host_with(folder, *launcher, **options):
    env = {"TUIBENCH_CACHE": str(folder / "it's there"), "TUIBENCH_LOCK": str(folder / "there.lock")}
    return Host(
        **{
            "name": "big",
            "launcher": launcher,
            "python": sys.executable,
            "env": env | {"PYTHONPATH": str(ROOT)},
            **options,
        }
    )


@asynccontextmanager
async def connected(host, told=None):
    there = AnotherMachine(host)
    try:
        facts = await there.connect((told if told is not None else []).append)
        yield there, facts
    finally:
        await there.close()


@pytest.mark.parametrize("launcher", ["env", "ssh", "kubectl", "docker"])
async def test_a_host_tells_of_itself_and_ends_with_the_connection(tmp_path, launcher, descendants):
    words = {
        "env": ("env",),
        "ssh": (like_ssh(tmp_path), "big"),
        "docker": (like_docker(tmp_path), "exec", "-i", "big"),
        "kubectl": (like_kubectl(tmp_path), "exec", "-i", "--"),
    }
    async with connected(host_with(tmp_path, *words[launcher])) as (there, facts):
        assert facts.machine == machine_header()
        async with there.measuring(lambda: False):
            assert somebody_measures(tmp_path / "there.lock")
        brought = await there.calibration(Calibration(file=__file__))
        assert await there.free_memory_bytes() > 0
        assert descendants()
    assert not descendants()
    assert not somebody_measures(tmp_path / "there.lock")
    assert Path(brought.file).is_relative_to(tmp_path / "it's there")
    assert Path(brought.file).read_text() == Path(__file__).read_text()  # noqa: ASYNC240


async def test_a_worker_there_is_heard_and_its_failure_is_its_own(tmp_path):
    load = LoadRequest(protocol=PROTOCOL_VERSION, method="no-such-method", model_dir="/nowhere", n_threads=1)
    async with connected(host_with(tmp_path, "env")) as (there, _):
        worker = await there.start(load, "one.log", TimeLimits())
        events = worker.ready()
        assert isinstance(await anext(events), WorkerStarted)
        with pytest.raises(WorkerFailureError) as failed:
            await anext(events)
        await worker.end()
    assert failed.value.kind is FailureKind.UNSUPPORTED
    assert "no-such-method" in failed.value.message


async def _to_the_end(events):
    async for _ in events:
        pass


@pytest.mark.parametrize("number", ["SIGTERM", "SIGKILL"])
async def test_a_lost_connection_ends_the_worker_there_and_is_said(tmp_path, number, descendants):
    load = LoadRequest(protocol=PROTOCOL_VERSION, method="kv-cache", model_dir="/nowhere", n_threads=1)
    kubectl = host_with(tmp_path, like_kubectl(tmp_path), "exec", "-i", "--")
    async with connected(kubectl) as (there, _):
        worker = await there.start(load, "one.log", TimeLimits())
        events = worker.ready()
        assert isinstance(await anext(events), WorkerStarted)
        remote = [each for each in descendants() if "tuibench.worker" in " ".join(each.cmdline())]
        (launcher,) = [each for each in descendants() if each.ppid() == os.getpid()]
        launcher.send_signal(getattr(__import__("signal"), number))
        with pytest.raises(WorkerFailureError) as failed:
            await _to_the_end(events)
        assert failed.value.kind is FailureKind.DISCONNECTED
        assert "the connection to big was lost" in failed.value.message
        _, alive = psutil.wait_procs(remote, timeout=10)
        assert not alive
        await worker.end()
        with pytest.raises(WorkerFailureError, match="lost"):
            await there.start(load, "two.log", TimeLimits())


async def test_what_a_launcher_leaves_behind_ends_by_itself(tmp_path, monkeypatch, descendants):
    """Its input stays open, and nobody writes to it any more."""
    monkeypatch.setattr(connection, "_ALIVE_S", 0.1)
    patience = "import tuibench.measure.hosts.frames as frames\nframes.PATIENCE_S = 2\n"
    (tmp_path / "sitecustomize.py").write_text(patience)
    env = host_with(tmp_path).env | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    docker = host_with(tmp_path, like_docker(tmp_path), "exec", "-i", "big", env=env)
    load = LoadRequest(protocol=PROTOCOL_VERSION, method="kv-cache", model_dir="/nowhere", n_threads=1)
    async with connected(docker) as (there, _):
        worker = await there.start(load, "one.log", TimeLimits())
        events = worker.ready()
        assert isinstance(await anext(events), WorkerStarted)
        remote = [each for each in descendants() if "tuibench." in " ".join(each.cmdline())]
        assert {each.cmdline()[-1] for each in remote} == {"tuibench.worker", "tuibench.measure.hosts.relay"}
        next(each for each in remote if each.cmdline()[-1] == "tuibench.worker").suspend()
        (launcher,) = [each for each in descendants() if each.ppid() == os.getpid()]
        launcher.kill()
        with pytest.raises(WorkerFailureError, match="lost"):
            await _to_the_end(events)
        _, alive = psutil.wait_procs(remote, timeout=20)
        assert not alive
        await worker.end()


async def test_a_parent_that_is_killed_leaves_nothing_behind(tmp_path):
    """Not even a worker that reads nothing: what started it there ends it."""
    program = script(
        tmp_path,
        "parent.py",
        f"""#!{sys.executable}
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.hosts.test_connection import host_with, LoadRequest, PROTOCOL_VERSION, TimeLimits, AnotherMachine
async def main():
    there = AnotherMachine(host_with(Path({str(tmp_path)!r}), "env"))
    await there.connect(lambda _: None)
    load = LoadRequest(protocol=PROTOCOL_VERSION, method="kv-cache", model_dir="/nowhere", n_threads=1)
    worker = await there.start(load, "one.log", TimeLimits())
    async for event in worker.ready():
        print("started", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
""",
    )
    parent = await asyncio.create_subprocess_exec(program, stdout=asyncio.subprocess.PIPE)
    assert await parent.stdout.readline() == b"started\n"
    family = psutil.Process(parent.pid).children(recursive=True)
    worker = next(each for each in family if each.cmdline()[-1] == "tuibench.worker")
    worker.suspend()
    parent.kill()
    await parent.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def bare_python():
    """Return an interpreter without tuibench."""
    return str(Path(sys._base_executable).resolve())


def of_another_version(folder):
    (folder / "sitecustomize.py").write_text("import tuibench\ntuibench.__version__ = '0.0.1'\n")
    return {"env": {"PYTHONPATH": f"{folder}:{ROOT}"}}


@pytest.mark.parametrize(
    ("launcher", "options", "problem"),
    [
        (("no-such-launcher",), {}, "no-such-launcher cannot be started"),
        (("env",), {"python": "/no/such/python"}, "the interpreter is not there"),
        (("env",), {"python": bare_python(), "env": {"PYTHONPATH": ""}}, "tuibench hosts prepare big"),
        (("sh", "-c", "echo Permission denied '(publickey)' >&2; exit 255"), {}, "its key was refused"),
        (("sh", "-c", "echo hello; exit 3"), {}, "ended with exit code 3: hello"),
        (("env",), of_another_version, f"it has tuibench 0.0.1, this is {tuibench.__version__}; .*prepare big"),
    ],
)
async def test_a_host_that_cannot_be_used_says_why_and_what_helps(tmp_path, launcher, options, problem, descendants):
    options = options(tmp_path) if callable(options) else options
    with pytest.raises(HostUnusableError, match=problem):
        async with connected(host_with(tmp_path, *launcher, **options)):
            pass
    assert not descendants()


async def test_a_queue_is_waited_for_and_its_word_is_told(tmp_path):
    gate = tmp_path / "gate"
    queue = ("sh", "-c", f"echo 'job 5 queued' >&2; while [ ! -e {gate} ]; do sleep 0.1; done; exec \"$@\"", "sh")
    told = []

    def hear(text):
        told.append(text)
        gate.touch()

    there = AnotherMachine(host_with(tmp_path, *queue))
    await there.connect(hear)
    await there.close()
    assert told == ["waiting for big: job 5 queued"]


async def test_waiting_for_a_host_can_be_called_off(tmp_path, descendants):
    there = AnotherMachine(host_with(tmp_path, "sh", "-c", "exec sleep 600"))
    connecting = asyncio.create_task(there.connect(lambda _: None))
    await asyncio.wait({connecting}, timeout=0.5)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await there.close()
    assert not descendants()


async def test_a_check_tells_what_a_run_would_meet(tmp_path, tiny_llama, descendants):
    found = [check async for check in checked(host_with(tmp_path, "env"), tiny_llama, 4096, 600, print)]
    assert [check.what for check in found] == ["reached", "CPUs", "disk", "model", "end"]
    remedies = {check.what: check.remedy for check in found if check.remedy}
    assert "fewer threads" in remedies["CPUs"]
    assert remedies["model"] == "`tuibench hosts prepare big` brings it there"
    assert "end" not in remedies
    (lost,) = [check async for check in checked(host_with(tmp_path, "false"), tiny_llama, 1, 600, print)]
    assert "exit code 1" in lost.found
    (late,) = [
        check async for check in checked(host_with(tmp_path, "sh", "-c", "exec sleep 600"), tiny_llama, 1, 0.2, print)
    ]
    assert "--timeout" in late.remedy
    assert not descendants()


def test_frames_come_whole_however_they_are_cut():
    stream = b"".join(frame(channel, bytes(range(channel * 10))) for channel in range(5))
    for size in (1, 3, len(stream)):
        frames, found = Frames(), []
        for start in range(0, len(stream), size):
            found += frames.push(stream[start : start + size])
        assert found == [(channel, bytes(range(channel * 10))) for channel in range(5)]
    with pytest.raises(FrameError):
        Frames().push(b"Last login: Monday\n")
