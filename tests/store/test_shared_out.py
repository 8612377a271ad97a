"""Files that several copies of this process read are as if one had read them all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.store.test_catalogue import save
from tuibench.store import shared_out
from tuibench.store.catalogue import list_sessions
from tuibench.store.schema import ModelHeader
from tuibench.store.shared_out import read_at_once

PATHS = [Path(f"{number}.toml") for number in range(3 * shared_out._WORTH_A_PROCESS)]
HERE = os.getpid()


@pytest.fixture(autouse=True)
def three_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})


def known(path, source=""):
    return ModelHeader(
        name=path.stem, source=source, digest="", parameters=0, weight_bytes=0, architecture="", dtype=""
    )


def by_whom(path):
    return known(path, str(os.getpid()))


def test_each_of_as_many_processes_as_are_worth_it_reads_its_share_and_is_gone(descendants):
    found = read_at_once(by_whom, PATHS, ModelHeader)
    assert [each.name for each in found] == [path.stem for path in PATHS]
    assert len({each.source for each in found}) == 3
    assert not descendants()
    assert {each.source for each in read_at_once(by_whom, PATHS[:99], ModelHeader)} == {str(HERE)}
    assert read_at_once(by_whom, [], ModelHeader) == []


def killed_elsewhere(path):
    if os.getpid() != HERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return known(path)


def raises_elsewhere(path):
    if os.getpid() != HERE:
        raise KeyboardInterrupt
    return known(path)


def unwritable_elsewhere(path):
    return known(path, "\udcff" if os.getpid() != HERE else "")


@pytest.mark.parametrize("read", [killed_elsewhere, raises_elsewhere, unwritable_elsewhere])
def test_what_a_copy_does_not_bring_back_is_read_here(read, descendants):
    assert read_at_once(read, PATHS, ModelHeader) == [known(path) for path in PATHS]
    assert not descendants()


def test_where_no_further_process_can_be_made_the_rest_is_read_here(monkeypatch, descendants):
    fork, n_made = os.fork, []

    def fork_once():
        if n_made:
            raise BlockingIOError("no more processes")
        n_made.append(1)
        return fork()

    monkeypatch.setattr(os, "fork", fork_once)
    found = read_at_once(by_whom, PATHS, ModelHeader)
    assert [each.name for each in found] == [path.stem for path in PATHS]
    assert len({each.source for each in found}) == 2
    assert not descendants()


def test_a_launcher_may_have_left_the_end_of_children_ignored(descendants):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        found = read_at_once(by_whom, PATHS, ModelHeader)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert [each.name for each in found] == [path.stem for path in PATHS]
    assert not descendants()


LONG_ANSWERS = """
import os, signal, sys
from pathlib import Path
os.sched_getaffinity = lambda _: {0, 1, 2}
from tuibench.store.schema import ModelHeader
from tuibench.store.shared_out import read_at_once

parent = os.getpid()

def read(path):
    if os.getpid() == parent:
        print(flush=True)
        signal.pause()
    return ModelHeader(name="x" * 2000, source="", digest="", parameters=0, weight_bytes=0, architecture="", dtype="")

read_at_once(read, [Path(str(number)) for number in range(300)], ModelHeader)
"""


def test_who_is_killed_leaves_no_copy_that_waits_for_a_reader():
    parent = subprocess.Popen([sys.executable, "-c", LONG_ANSWERS], stdout=subprocess.PIPE)
    parent.stdout.readline()
    copies = psutil.Process(parent.pid).children()
    assert len(copies) == 2
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(copies, timeout=10)
    assert not alive


def test_who_is_interrupted_leaves_no_copy_behind(descendants):
    def read(_):
        if os.getpid() == HERE:
            raise KeyboardInterrupt
        signal.pause()

    with pytest.raises(KeyboardInterrupt):
        read_at_once(read, PATHS, ModelHeader)
    assert not descendants()


def test_a_list_is_the_same_by_one_process_and_by_several_and_is_remembered(tmp_path, monkeypatch):
    folder, index = tmp_path / "sessions", tmp_path / "index.json"
    folder.mkdir()
    content = save(folder / "0.toml").read_bytes()
    for number in range(1, len(PATHS)):
        cut = content if number % 3 else content[: len(content) * number // len(PATHS)]
        (folder / f"{number}.toml").write_bytes(cut)
    (folder / os.fsdecode(b"caf\xe9.toml")).write_bytes(content)
    expected = list_sessions([folder])
    assert {bool(each.problem) for each in expected} == {True, False}
    list_sessions([folder], index=index, n_read=10)  # of all others only the header
    assert list_sessions([folder], index=index, at_once=True) == expected
    monkeypatch.setattr(shared_out, "read_at_once", None)
    assert list_sessions([folder], index=index) == expected
