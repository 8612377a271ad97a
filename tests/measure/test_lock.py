"""One lock for all users of a machine, whatever others have put in its place."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.permissions import obey_modes
from tuibench import paths
from tuibench.machine import lock
from tuibench.machine.lock import measuring, somebody_measures, unseen_measurements


@pytest.fixture
def path(tmp_path):
    return tmp_path / "measuring.lock"


PROGRAM = """
import asyncio, sys
from pathlib import Path
from tuibench.machine.lock import measuring, somebody_measures
path = Path(sys.argv[1])
async def main():
    print(somebody_measures(path), flush=True)
    told = []
    async with measuring(path, lambda: told.append("waits"), lambda: True, told.append):
        print(*told, flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


def another_user(path):
    """Start a program that may do no more with files than their modes allow; it ends with its standard input."""
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "preexec_fn": obey_modes}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], **options)


def answers(process):
    told = [process.stdout.readline().strip() for _ in range(2)]
    process.stdin.close()
    process.wait()
    return told


async def held(path, told=()):
    async with measuring(path, lambda: None, lambda: False, list(told).append):
        return somebody_measures(path)


def test_nobody_measures_where_there_is_no_file(path):
    assert not somebody_measures(path)
    assert not path.exists()


def test_a_file_that_another_user_made_is_locked_though_it_cannot_be_written(path):
    path.touch()
    path.chmod(0o444)
    first = another_user(path)
    assert first.stdout.readline().strip() == "False"
    assert not first.stdout.readline().strip()
    assert somebody_measures(path)
    assert answers(another_user(path)) == ["True", "waits"]
    first.stdin.close()
    first.wait()
    assert answers(another_user(path)) == ["False", ""]


async def test_the_file_is_for_all_to_read_whatever_the_umask(path):
    before = os.umask(0o077)
    try:
        assert await held(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert not somebody_measures(path)


def test_a_file_that_may_not_be_read_is_told_and_the_run_goes_on(path):
    path.touch()
    path.chmod(0)
    seen, told = answers(another_user(path))
    assert seen == "False"
    assert told == f"{path}: cannot be locked (Permission denied): other measurements on this machine are not noticed"


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
async def test_what_is_not_a_file_is_neither_followed_nor_waited_for(path, tmp_path, kind):
    target = tmp_path / "target"
    if kind == "link":
        target.touch()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(target)
    told = []
    async with measuring(path, lambda: told.append("waits"), on_alone=told.append):
        assert not somebody_measures(target)
    assert len(told) == 1
    assert "cannot be locked" in told[0]
    assert target.exists() == (kind == "link")


async def test_a_file_that_was_removed_meanwhile_is_not_waited_for(path, monkeypatch):
    """Who cleans up /tmp removes it; the next to measure makes another."""
    monkeypatch.setattr(lock, "_POLL_S", 0)
    waits = asyncio.Event()
    async with measuring(path, lambda: None):
        second = asyncio.create_task(_measured(path, waits))
        await waits.wait()
        path.unlink()
        async with measuring(path, lambda: None):  # the third, with a file of its own
            third_is_seen = somebody_measures(path)
    await second
    assert third_is_seen
    assert second.result()


async def _measured(path, waits):
    async with measuring(path, waits.set):
        return somebody_measures(path)


def test_the_lock_is_the_same_for_all_users_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("TUIBENCH_LOCK")
    found = set()
    for user in ("anna", "bert"):
        for name in ("HOME", "TMPDIR", "TUIBENCH_CACHE", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(name, str(tmp_path / user))
        found.add(paths.measurement_lock())
    assert len(found) == 1
    folder = found.pop().parent
    assert folder.stat().st_mode & 0o1002 == 0o1002


def test_a_folder_that_only_some_may_write_to_is_not_chosen_by_them_either(monkeypatch, tmp_path):
    monkeypatch.delenv("TUIBENCH_LOCK")
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(lock, "container", lambda: None)
    folders = tmp_path / "run", tmp_path / "tmp"
    monkeypatch.setattr(paths, "_SHARED_FOLDERS", folders)
    assert paths.measurement_lock().parent == tmp_path / "cache"
    assert unseen_measurements().startswith("measurements of other users are not noticed: ")
    folders[0].mkdir(mode=0o755)
    folders[1].mkdir()
    folders[1].chmod(0o1777)
    assert paths.measurement_lock().parent == folders[1]
    assert unseen_measurements() is None
    folders[0].chmod(0o1777)
    assert paths.measurement_lock().parent == folders[0]


def test_a_container_says_what_it_cannot_see_unless_a_lock_was_chosen(monkeypatch):
    monkeypatch.setattr(lock, "container", lambda: "docker")
    assert unseen_measurements() is None
    monkeypatch.delenv("TUIBENCH_LOCK")
    told = unseen_measurements()
    assert told.startswith("measurements outside of this container (docker) are not noticed: mount a folder")
    assert told.endswith("TUIBENCH_LOCK")
