"""Homes for tuibench on "machines" that are this one, and a tuibench here that knows them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.hosts.launchers import ROOT
from tuibench.machine.bandwidth import remember
from tuibench.models.cache import Origin, open_staging, place, pull_lock
from tuibench.store.session import load

MARK = "TUIBENCH_TEST_PLACE"


def toml(value):
    return json.dumps(value)


class Place:
    """A home for tuibench on a "machine" that is this one: a cache, a lock, the model, a launcher to get there."""

    def __init__(self, folder, name, launcher, environment=(), **more):
        self.cache, self.name, self.launcher, self.more = Path(folder) / name, name, launcher, more
        self.env = {
            "TUIBENCH_CACHE": str(self.cache), "TUIBENCH_LOCK": str(self.cache / "lock"), MARK: str(self.cache),
            "TUIBENCH_SESSIONS": str(self.cache / "sessions"), "PYTHONPATH": str(ROOT), **dict(environment),
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

    def __init__(self, folder, model, places, monkeypatch, environment=(), method="kv-cache"):
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
            "run", "--model", str(model.directory), "--methods", method, "--no-quality", "--threads", "1",
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
