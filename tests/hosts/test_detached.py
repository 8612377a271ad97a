"""Runs that go on without whoever started them: here, behind sshd, in Slurm's queue. Their method is scripted."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.hosts.launchers import script
from tests.hosts.places import Place, Program
from tuibench.core.run.host import Host
from tuibench.core.run.spec import RunSpec
from tuibench.measure.detached import slurm as queue
from tuibench.measure.detached.copy import SessionCopy
from tuibench.measure.detached.far import reached
from tuibench.measure.detached.job import Job, newest_jobs
from tuibench.measure.detached.order import Order
from tuibench.store.session import load


def program(folder, toy, launcher, monkeypatch, environment=()):
    model, points = toy
    slow = points | {"TUIBENCH_TEST_STEP_S": "0.01"}
    place = Place(folder, "big", launcher, slow)
    one = Program(folder, model, [place], monkeypatch, slow | dict(environment), method="sound")
    one.run_words = (*one.run_words, "--max-new-tokens", "10")
    return one


def saved(folder, n):
    """Wait until a session in a folder has so many trials; return its file."""
    deadline_s = time.monotonic() + 240
    while True:
        for path in folder.glob("*.toml"):
            if path.read_text().count("[[trials]]") >= n:
                return path
        assert time.monotonic() < deadline_s, list(folder.glob("*"))
        time.sleep(0.05)


def killed(process):
    process.kill()
    process.communicate()


def test_a_run_here_outlives_its_terminal_and_can_be_stopped(tmp_path, toy, monkeypatch):
    here = program(tmp_path, toy, ["env"], monkeypatch)
    # A shell of its own session, all of which is hung up on.
    words = shlex.join([sys.executable, "-m", "tuibench", *here.run_words, "--trials", "5000", "--detach"])
    shell = subprocess.Popen(
        ["sh", "-c", f"{words}; sleep 600"], env=here.environment, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    path = shell.stdout.readline().strip()
    assert f"`tuibench attach {os.path.basename(path)[:-5]}` follows it" in shell.stderr.readline()  # noqa: PTH119
    os.killpg(shell.pid, signal.SIGHUP)
    killed(shell)
    n = saved(tmp_path / "sessions", 1).read_text().count("[[trials]]")
    assert str(saved(tmp_path / "sessions", n + 3)) == path
    killed(here.start("attach", "--plain"))  # who follows it may go, too
    _, told = here.done("attach", "--stop")
    assert "asked to stop" in told
    out, told = here.done("attach", "--plain", code=130)
    assert "stopped" in told.splitlines()
    session = load(path)
    assert [trial.index for trial in session.trials if not trial.failed and not trial.warmup][:3] == [0, 1, 2]
    assert out.count(" trial ") >= 3
    again = here.done("attach", "--stop", code=2)[1]
    assert "it is over: stopped" in again


def test_a_run_on_a_host_goes_on_without_this_machine_and_is_brought_back(server, tmp_path, toy, monkeypatch):
    far = program(tmp_path, toy, server.launcher(), monkeypatch)
    there = far.places[0]
    out, told = far.done(*far.run_words, "--trials", "60", "--on", "big", "--detach")
    assert "`tuibench attach big` follows it" in told
    session = there.cache / "sessions" / out.strip()
    following = far.start("attach", "big", "--plain")
    assert "warm-up" in following.stdout.readline()
    server.cut_connections()
    _, told = following.communicate(timeout=120)
    assert following.returncode == 2
    assert "it goes on there: attach again" in told
    assert "1 still measured" in far.done("sessions", "import", "big")[1]
    out, told = far.done("attach", "big", "--plain")
    assert "measured to the end" in told.splitlines()
    assert "imported as" in told
    (copy,) = (tmp_path / "sessions").glob("*.toml")
    assert copy.read_bytes() == session.read_bytes()
    measured = [trial for trial in load(copy).trials if not trial.warmup]
    assert [(trial.method, trial.index) for trial in measured] == [("sound", index) for index in range(60)]
    copy.unlink()
    assert "1 imported, 0 there already, 0 still measured" in far.done("sessions", "import", "big")[1]
    assert "0 imported, 1 there already, 0 still measured" in far.done("sessions", "import", "big")[1]
    assert copy.read_bytes() == session.read_bytes()
    assert not psutil.wait_procs(there.processes(), timeout=10)[1]


def test_a_run_in_a_queue_is_measured_there_and_brought_back(slurm, tmp_path, toy, monkeypatch):
    srun = ["srun", "-n1", "-c1", "--cpu-bind=cores"]
    far = program(tmp_path, toy, srun, monkeypatch, slurm.environment)
    told = far.done(*far.run_words, "--trials", "3", "--on", "big", "--detach", code=2)[1]
    assert "--batch instead of --detach" in told
    config = tmp_path / "config.toml"
    twin = far.places[0].settings().replace("[hosts.big]", "[hosts.twin]").replace("--cpu-bind=cores", "--exact")
    config.write_text(config.read_text() + twin)
    told = far.done(*far.run_words, "--trials", "3", "--on", "big,twin", "--batch")[1]
    numbers = re.findall(r"(big|twin): job (\d+)_(\d): ", told)
    assert [(name, index) for name, _, index in numbers] == [("big", "0"), ("twin", "1")]
    assert len({number for _, number, _ in numbers}) == 1
    for name in ("big", "twin"):
        out, told = far.done("attach", name, "--plain")
        assert "measured to the end" in told.splitlines()
        assert out.count(" trial ") == 3
    for path in (tmp_path / "sessions").glob("*.toml"):
        assert len([trial for trial in load(path).trials if not trial.warmup and not trial.failed]) == 3
    assert len(list((tmp_path / "sessions").glob("*.toml"))) == 2


def test_a_run_that_waits_in_a_queue_says_so_and_can_be_called_off(slurm, tmp_path, toy, monkeypatch):
    far = program(tmp_path, toy, ["srun", "-n1", "--hold"], monkeypatch, slurm.environment)
    told = far.done(*far.run_words, "--on", "big", "--batch")[1]
    assert "it waits in the queue" in told
    assert "1 still" not in far.done("sessions", "import", "big")[1]
    assert "asked to stop: stopped before it began" in far.done("attach", "big", "--stop")[1]
    assert "stopped before it began" in far.done("attach", "big", code=130)[1]
    assert not slurm.run("squeue", "-h")
    (tmp_path / "other").mkdir()
    wrong = program(tmp_path / "other", toy, ["srun", "-n1", "-p", "nowhere"], monkeypatch, slurm.environment)
    assert "Invalid partition" in wrong.done(*wrong.run_words, "--on", "big", "--batch", code=1)[1]


def test_options_of_a_step_are_not_those_of_an_allocation():
    command, log = ["python", "-m", "x y"], Path("/l g")
    one = queue.Task(["-n1", "--cpu-bind", "cores", "--mpi=none", "-p", "a b"], command, log)
    assert queue.script_text([one]).splitlines()[1:] == [
        "#SBATCH --job-name=tuibench",
        "#SBATCH -n1 -p 'a b'",
        "exec srun -n1 --cpu-bind cores --mpi=none -p 'a b' python -m 'x y' >>'/l g' 2>&1",
    ]
    text = queue.script_text([one, queue.Task(["-n1", "-p", "a b"], command, log)])
    assert "#SBATCH --array=0-1\n" in text
    assert "\n1) exec srun -n1 -p 'a b' python -m 'x y' >>'/l g' 2>&1 ;;\n" in text


@pytest.mark.parametrize(
    ("launcher", "before", "options"),
    [
        (("srun", "-n1"), ("env",), ("-n1",)),
        (("ssh", "login", "/usr/bin/srun"), ("ssh", "login"), ()),
        (("ssh", "big"), ("ssh", "big"), None),
    ],
)
def test_jobs_are_submitted_where_srun_is_called(launcher, before, options):
    there, found = Host(name="big", launcher=launcher).submitting()
    assert (there.launcher, found) == (before, options)


@pytest.mark.parametrize(
    ("says", "words", "over"),
    [
        ("echo 'PENDING|Resources'", "job 7: it waits in the queue (Resources)", False),
        ("echo 'RUNNING|None'", "job 7: it is measured", False),
        ("echo 'TIMEOUT|TimeLimit'", "job 7 of Slurm's ended without a word; the last it said: cut off", True),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", "job 7 of Slurm's ended", True),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", "does not answer: Unable to contact", False),
    ],
)
def test_what_the_queue_says_is_told_in_words(tmp_path, monkeypatch, says, words, over):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin", "squeue", f"#!/bin/sh\n{says}\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    spec = RunSpec(model="m", methods=("sound",), prompt="p")
    job = Job.create(Order(spec=spec, model_digest="0"), tmp_path)
    job.note_queue("7")
    job.log.write_text("begun\ncut off\n")
    (found,) = newest_jobs()
    assert words in found.state().words
    assert found.state().over is over
    job.note_end(0, "measured to the end")
    assert (found.state().words, found.state().exit_code) == ("measured to the end", 0)


def test_a_host_that_falls_silent_holds_nobody_up(tmp_path, toy, monkeypatch):
    here = program(tmp_path, toy, ["env"], monkeypatch)
    host = Host(name="big", launcher=("env",), python=sys.executable, env=here.places[0].env)
    monkeypatch.setenv("TUIBENCH_CACHE", host.env["TUIBENCH_CACHE"])
    job = Job.create(Order(spec=RunSpec(model="m", methods=("sound",), prompt="p"), model_digest="0"), tmp_path)
    lock = job.locked()
    with reached(host) as far:
        (there,) = here.places[0].processes()
        with SessionCopy(far, job.name, tmp_path / "copies") as copy:
            there.suspend()
            assert not copy.state.over
    assert copy.path is None
    os.close(lock)


def test_a_run_that_died_without_a_word_says_what_it_said_last(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    job = Job.create(Order(spec=RunSpec(model="m", methods=("sound",), prompt="p"), model_digest="0"), tmp_path)
    lock = job.locked()
    assert job.state().words == "it is measured"
    os.close(lock)
    job.log.write_text("trial 1/3: sound\n")
    assert job.state().words == "it ended without a word; the last it said: trial 1/3: sound"
    assert job.state().over
