"""`tuibench run` as a process that is killed, hung up on, interrupted and resumed. Its methods are scripted."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.caches import knowing_the_bandwidth
from tests.disks import small_disk
from tests.measure.control_groups import enter, group
from tests.permissions import obey_modes
from tests.scripted_methods import provide, save_toy_model
from tuibench.core.run.events import FailureKind
from tuibench.store.session import load

SECOND_TRIAL = "3"
"""Its prompt, after the warm-up's and the first trial's."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return save_toy_model(folder / "model"), provide(folder / "installed")


@pytest.fixture
def start(toy, tmp_path):
    """Start `tuibench run` with slow trials, or one that never ends; whatever is still there at the end is killed."""
    model, environment = toy
    cache = knowing_the_bandwidth(tmp_path / "cache")
    started = []

    def run(*options, step_s="0.1", hang_at="", fault="", methods="sound", **popen):
        command = [sys.executable, "-m", "tuibench", "run", "--no-quality", "--output", str(tmp_path / "out")]
        if "--resume" not in options:
            command += ["--model", str(model), "--methods", methods, "--prompt", "a b"]
            command += ["--threads", "1", "--max-new-tokens", "20"]
        env = os.environ | environment | {
            "TUIBENCH_CACHE": str(cache),
            "TUIBENCH_TEST_STEP_S": step_s,
            "TUIBENCH_TEST_FAULT": fault,
            "TUIBENCH_TEST_HANG_AT": hang_at,
        }  # fmt: skip
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | popen
        process = subprocess.Popen([*command, *options], env=env, cwd=tmp_path, **pipes)
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_cache_that_cannot_be_written_is_one_line_and_the_run_is_measured(start, tmp_path):
    cache = tmp_path / "cache"
    (cache / "models").mkdir()
    cache.chmod(0o500)
    process = start("--trials", "1", step_s="0", preexec_fn=obey_modes)
    _, told = process.communicate()
    assert process.returncode == 0, told
    assert "Traceback" not in told
    (line,) = (line for line in told.splitlines() if line.startswith("tuibench:"))
    assert line.startswith(f"tuibench: {cache}: the cache folder cannot be written (Permission denied): ")
    assert line.endswith("TUIBENCH_CACHE")
    (path,) = (tmp_path / "out").glob("*.toml")
    assert not load(path).trials[-1].failed
    assert sorted(each.name for each in cache.iterdir()) == ["bandwidth.json", "models"]


def wait_for(process, beginning, having=""):
    for line in process.stderr:
        if line.startswith(beginning) and having in line:
            return
    pytest.fail(f"ended with {process.wait()} before {beginning!r}")


def descendants(process):
    return psutil.Process(process.pid).children(recursive=True)


def the_session(tmp_path):
    (path,) = (tmp_path / "out").glob("*.toml")
    return path


@pytest.mark.parametrize(("number", "times"), [(signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGHUP, 2)])
def test_a_signalled_run_ends_in_order_and_can_go_on(start, tmp_path, number, times):
    run = start("--trials", "3", step_s="0", hang_at=SECOND_TRIAL)
    wait_for(run, "trial 2/3")
    children = descendants(run)
    for _ in range(times):
        run.send_signal(number)
    _, stderr = run.communicate(timeout=600)
    assert run.returncode == 130, stderr
    assert not psutil.wait_procs(children, timeout=300)[1]
    path = the_session(tmp_path)
    assert stderr.splitlines()[-1] == str(path)
    session = load(path)
    assert session.dropped == ()
    assert [trial.index for trial in session.trials if not trial.failed and not trial.warmup] == [0]
    again = start("--resume", str(path), "--model", str(tmp_path / "gone"))
    assert again.wait(600) == 2
    again = start("--resume", path.stem, "--model", run.args[run.args.index("--model") + 1], step_s="0")
    _, stderr = again.communicate(timeout=600)
    assert again.returncode == 0, stderr
    trials = [trial for trial in load(path).trials if not trial.warmup]
    assert [(trial.index, trial.failed) for trial in trials] == [(0, False), (1, False), (2, False)]


def test_a_killed_run_leaves_no_worker_and_every_finished_trial(start, tmp_path):
    run = start("--trials", "3", step_s="0", hang_at=SECOND_TRIAL)
    wait_for(run, "trial 2/3")
    children = descendants(run)
    assert children
    run.kill()
    run.communicate()
    assert not psutil.wait_procs(children, timeout=300)[1]
    session = load(the_session(tmp_path))
    assert session.dropped == ()
    assert [trial.warmup for trial in session.trials] == [True, False]


def test_a_terminal_that_goes_away_ends_the_run_in_order(start, tmp_path):
    master, slave = pty.openpty()

    def own_terminal():
        os.setsid()
        import fcntl
        import termios

        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    held = {"step_s": "0", "hang_at": SECOND_TRIAL}
    run = start("--trials", "3", **held, stdin=slave, stdout=slave, stderr=slave, text=False, preexec_fn=own_terminal)
    os.close(slave)
    until_s = time.monotonic() + 600
    while not list((tmp_path / "out").glob("*.toml")) and time.monotonic() < until_s:
        os.read(master, 4096)
    children = descendants(run)
    os.close(master)  # the kernel sends SIGHUP, and every write fails from now on
    assert run.wait(600) == 130
    assert not psutil.wait_procs(children, timeout=300)[1]
    assert load(the_session(tmp_path)).dropped == ()


def test_a_run_under_nohup_outlives_its_terminal(start, tmp_path):
    with (tmp_path / "log").open("w") as log:
        run = start("--trials", "2", step_s="0.01", stdout=log, stderr=log,
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # fmt: skip
        until_s = time.monotonic() + 600
        while not list((tmp_path / "out").glob("*.toml")) and time.monotonic() < until_s:
            time.sleep(0.02)
        run.send_signal(signal.SIGHUP)
        assert run.wait(600) == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert sum(line.startswith("trial ") for line in lines) == 2  # one line when each begins
    assert sum("tok/s" in line and line.startswith("  TTFT") for line in lines) == 2  # and one with its result


def test_a_second_run_waits_for_the_first_and_says_so(start, tmp_path):
    first = start("--trials", "500")
    wait_for(first, "trial 1/500")
    second = start("--trials", "1", step_s="0")
    wait_for(second, "another tuibench measures")
    assert first.poll() is None
    first.send_signal(signal.SIGINT)
    assert first.wait(600) == 130
    assert second.wait(600) == 0
    assert len(list((tmp_path / "out").glob("*.toml"))) == 2


def test_a_session_is_followed_until_its_run_is_over(start, tmp_path, toy):
    run = start("--trials", "3")
    wait_for(run, "trial 2/3")
    environment = os.environ | toy[1] | {"TUIBENCH_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "tuibench", "sessions", "show", str(the_session(tmp_path)), "--follow"]
    following = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert run.wait(600) == 0
    assert following.returncode == 0, following.stderr
    told = [line.split(": ")[0].split(" ", 1)[1] for line in following.stdout.splitlines() if ": TTFT" in line]
    assert told[:4] == ["sound warm-up", "sound trial 1", "sound trial 2", "sound trial 3"]


def test_a_failed_method_is_retried_and_its_row_is_whole(start, tmp_path):
    run = start("--trials", "1", step_s="0", fault="decode:segfault", methods="faulty,sound")
    run.communicate(timeout=600)
    assert run.returncode == 1
    path = the_session(tmp_path)
    model = run.args[run.args.index("--model") + 1]
    assert start("--resume", "last", "--model", model, step_s="0").wait(600) == 1
    assert start("--resume", "last", "--retry-failed", "--model", model, step_s="0").wait(600) == 0
    session = load(path)
    assert [trial.failed for trial in session.superseded] == [True]
    assert not any(trial.failed for trial in session.trials)


def test_a_resume_with_other_settings_is_refused_by_name(start, tmp_path, toy):
    assert start("--trials", "1", step_s="0").wait(600) == 0
    path = the_session(tmp_path)
    before = path.read_bytes()
    named = ["--model", str(toy[0])]
    refused = {
        "--trials": [*named, "--trials", "9"],
        "prompt": [*named, "--prompt", "b a"],
        "--methods": [*named, "--methods", "sound,faulty"],
        "sampling": [*named, "--top-k", "4"],
        "name its folder with --model": [],
    }
    for words, options in refused.items():
        run = start("--resume", str(path), *options)
        stderr = run.communicate(timeout=600)[1]
        assert run.returncode == 2
        assert words in stderr
        assert len(stderr.splitlines()) == 1
        assert path.read_bytes() == before


def test_retry_failed_needs_a_session(start):
    run = start("--retry-failed")
    assert "--resume" in run.communicate(timeout=600)[1]
    assert run.returncode == 2


def test_a_folder_without_permission_is_refused_before_anything_is_measured(start, tmp_path):
    (tmp_path / "out").mkdir(mode=0o555)
    run = start("--trials", "1", preexec_fn=obey_modes)
    assert "no permission" in run.communicate(timeout=600)[1]
    assert run.returncode == 2


def test_results_that_cannot_be_saved_make_the_exit_code_one(start, tmp_path):
    """RLIMIT_FSIZE of one byte: no session can be written, as on a full disk."""

    def full_disk():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    run = start("--trials", "1", step_s="0", preexec_fn=full_disk)
    stdout, stderr = run.communicate(timeout=600)
    assert run.returncode == 1
    assert "could not be saved" in stderr
    assert "sound" in stdout
    assert list(Path(tmp_path / "out").glob("*.toml")) == []


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_disk_that_fills_up_in_a_run_gets_every_trial_once_there_is_room(start, tmp_path, kind):
    with small_disk(kind, tmp_path / "out") as disk:
        run = start("--trials", "500", step_s="0.01")
        wait_for(run, "trial 2/500")
        disk.fill()
        wait_for(run, "", having="No space left on device")
        disk.empty()
        wait_for(run, "trial ")
        run.send_signal(signal.SIGINT)
        stderr = run.communicate(timeout=600)[1]
        assert run.returncode == 130, stderr
        session = load(the_session(tmp_path))
        assert session.dropped == ()
        finished = [trial.index for trial in session.trials if not trial.warmup and not trial.failed]
        assert finished == list(range(len(finished)))
        assert len(finished) >= 2  # the second could not be saved at first


def test_the_row_says_so_when_the_kernel_kills_a_worker_for_memory(start, tmp_path):
    """A real control group with a limit, which worker and parent share, as in a container."""
    with group("memory") as limited:
        (limited / "memory.limit_in_bytes").write_text(str(512 << 20))
        run = start("--trials", "1", step_s="0", fault="decode:eat-memory", methods="faulty,sound",
                    preexec_fn=lambda: enter(limited, os.getpid()))  # fmt: skip
        stderr = run.communicate(timeout=600)[1]
    assert run.returncode == 1, stderr
    eaten, *sound = load(the_session(tmp_path)).trials
    assert eaten.failure_kind is FailureKind.OUT_OF_MEMORY, eaten.failure_message
    assert "the kernel killed the worker during decode: out of memory" in eaten.failure_message
    assert [(trial.method, trial.failed) for trial in sound if not trial.warmup] == [("sound", False)]
