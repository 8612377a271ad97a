"""Whole runs on other machines through the command line: sshd on the loopback, a Slurm of one node."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.hosts.launchers import ROOT
from tests.slurm import SLURMD, Slurm
from tests.ssh_server import SSHD, SshServer, free_port
from tuibench.core.run.events import FailureKind
from tuibench.machine.bandwidth import remember
from tuibench.models.cache import Origin, open_staging, place, pull_lock
from tuibench.store.session import load

MARK = "TUIBENCH_TEST_PLACE"


def toml(value):
    return json.dumps(value)


class Place:
    """A home for tuibench on a "machine" that is this one: a cache, a lock, the model, a launcher to get there."""

    def __init__(self, folder, name, launcher, **more):
        self.cache, self.name, self.launcher, self.more = Path(folder) / name, name, launcher, more
        self.env = {
            "TUIBENCH_CACHE": str(self.cache), "TUIBENCH_LOCK": str(self.cache / "lock"), MARK: str(self.cache),
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def settings(self):
        env = ", ".join(f"{name} = {toml(value)}" for name, value in self.env.items())
        more = "".join(f"{name} = {toml(value)}\n" for name, value in self.more.items())
        python = toml(sys.executable)
        return f"[hosts.{self.name}]\nlauncher = {toml(self.launcher)}\npython = {python}\nenv = {{ {env} }}\n{more}"

    def keep(self, model, monkeypatch):
        """Put a model and a read bandwidth there, as a day's use would."""
        monkeypatch.setenv("TUIBENCH_CACHE", str(self.cache))
        with pull_lock(model.name, lambda: None):
            staging = open_staging(model.name)
            for path in model.directory.iterdir():
                (staging.model / path.name).write_bytes(path.read_bytes())
            place(model.name, staging, Origin(source="made here"))
        remember(1, 20_000_000_000)

    def processes(self):
        """Return what runs there."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.cache):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found


class Program:
    """tuibench here, with settings that name the places."""

    def __init__(self, folder, model, places, monkeypatch, environment=()):
        self.folder, self.places = Path(folder), places
        for one in places:
            one.keep(model, monkeypatch)
        config = self.folder / "config.toml"
        config.write_text("".join(one.settings() for one in places))
        monkeypatch.setenv("TUIBENCH_CACHE", str(self.folder / "here"))
        remember(1, 20_000_000_000)
        self.environment = os.environ | {
            "TUIBENCH_CONFIG": str(config), "TUIBENCH_SESSIONS": str(self.folder / "sessions"), **dict(environment),
        }  # fmt: skip
        self.run_words = (
            "run", "--model", str(model.directory), "--methods", "kv-cache", "--no-quality", "--threads", "1",
            "--prompt", "Once upon a time",
        )  # fmt: skip

    def start(self, *words):
        command = [sys.executable, "-m", "tuibench", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=self.environment, cwd=ROOT, text=True, **pipes)

    def done(self, *words, code=0):
        process = self.start(*words)
        out, err = process.communicate(timeout=600)
        assert process.returncode == code, (out, err)
        return out, err

    def session(self):
        (path,) = (self.folder / "sessions").glob("*.toml")
        return load(path)

    def wait_for_trials(self, n):
        saved = ""
        deadline_s = time.monotonic() + 240
        while saved.count("[[trials]]") < n:
            assert time.monotonic() < deadline_s, saved[-2000:]
            time.sleep(0.05)
            saved = "".join(path.read_text() for path in (self.folder / "sessions").glob("*.toml"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    assert Path(SSHD).exists(), "needs openssh-server"
    one = SshServer(tmp_path_factory.mktemp("sshd"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    assert Path(SLURMD).exists(), "needs slurm-wlm and munge"
    one = Slurm(tmp_path_factory.mktemp("slurm"), (free_port(), free_port()))
    yield one
    one.close()


@pytest.fixture(params=["ssh", "srun"])
def far(request, tmp_path, tiny_llama, monkeypatch):
    """A program and the one host that it knows."""
    if request.param == "ssh":
        launcher, environment = request.getfixturevalue("server").launcher(), {}
    else:
        launcher, environment = ["srun", "-n1", "-c1", "--cpu-bind=cores"], request.getfixturevalue("slurm").environment
    place = Place(tmp_path, "big", launcher, price_per_hour=2.0)
    program = Program(tmp_path, tiny_llama, [place], monkeypatch, environment)
    yield program
    for process in place.processes():
        process.kill()


def test_a_session_of_two_machines_has_rows_of_both_and_says_which_to_take(server, tmp_path, tiny_llama, monkeypatch):
    places = [Place(tmp_path, "big", server.launcher(), price_per_hour=2.0), Place(tmp_path, "small", ["env"])]
    program = Program(tmp_path, tiny_llama, places, monkeypatch)
    out, err = program.done(*program.run_words, "--on", "big,small,local", "--max-new-tokens", "16", "--trials", "1")
    session = program.session()
    assert session.header.settings.methods == ("kv-cache@big", "kv-cache@small", "kv-cache")
    assert {name: host.price_per_hour for name, host in session.hosts.items()} == {"big": 2.0, "small": None}
    measured = [trial for trial in session.trials if not trial.warmup]
    assert sorted(trial.method for trial in measured) == sorted(session.header.settings.methods)
    assert len({trial.token_ids for trial in measured}) == 1
    assert all(trial.lamp is not None for trial in measured)
    assert "fastest: kv-cache on " in out
    assert "no price is known of " in out
    assert [line.split()[0] for line in out.splitlines() if line in {"big", "small", "local"}] == [
        "big",
        "small",
        "local",
    ]
    path = err.splitlines()[-1]
    compared, _ = program.done("compare", path, "--baseline", "kv-cache")
    assert "fastest: kv-cache on " in compared
    text = Path(path).read_text()
    assert str(tmp_path) not in text
    assert "127.0.0.1" not in text
    assert not any(process for one in places for process in one.processes())


def test_a_check_finds_nothing_wrong(far):
    out, _ = far.done("hosts", "check", "--model", far.run_words[2], "--threads", "1")
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["ok"] * 5


def test_a_run_there_is_measured_there(far):
    far.done(*far.run_words, "--on", "big", "--max-new-tokens", "16", "--trials", "2")
    session = far.session()
    trials = [trial for trial in session.trials if not trial.warmup]
    assert [trial.method for trial in trials] == ["kv-cache@big"] * 2
    assert not any(trial.failed for trial in trials)
    assert session.header.machine == session.hosts["big"].machine
    assert session.hosts["big"].machine.read_bytes_per_s
    assert not psutil.wait_procs(far.places[0].processes(), timeout=10)[1]


@pytest.mark.parametrize("whose", ["ours", "the launcher's"])
def test_a_run_that_is_cut_off_loses_nothing_and_leaves_nothing(far, whose):
    place = far.places[0]
    running = far.start(*far.run_words, "--on", "big", "--max-new-tokens", "200", "--trials", "400")
    far.wait_for_trials(3)
    if whose == "ours":
        running.kill()
    else:
        launchers = psutil.Process(running.pid).children()
        launchers[0].send_signal(signal.SIGKILL)
    running.communicate(timeout=120)
    _, alive = psutil.wait_procs(place.processes(), timeout=10)
    assert not alive
    session = far.session()
    finished = [trial for trial in session.trials if not trial.failed]
    assert len(finished) >= 3
    kinds = {trial.failure_kind for trial in session.trials if trial.failed}
    assert kinds == (set() if whose == "ours" else {FailureKind.DISCONNECTED})


def test_a_run_that_was_cut_off_goes_on(far):
    running = far.start(*far.run_words, "--on", "big", "--max-new-tokens", "100", "--trials", "4")
    far.wait_for_trials(2)
    psutil.Process(running.pid).children()[0].send_signal(signal.SIGKILL)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "the connection to big was lost" in err
    before = far.session()
    far.done("run", "--resume", "last", "--model", far.run_words[2], "--no-quality")
    after = far.session()
    measured = [trial for trial in after.trials if not trial.warmup and not trial.failed]
    assert sorted(trial.index for trial in measured) == list(range(4))
    kept = [trial for trial in before.trials if not trial.failed]
    assert set(kept) <= set(after.trials)
