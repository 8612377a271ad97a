"""The artifact cache: whole or absent, made once, damaged files made again."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from tuibench import paths
from tuibench.models import artifacts
from tuibench.models.artifacts import (
    ArtifactError,
    Recipe,
    cached_artifacts,
    discard_abandoned,
    find_artifact,
    make_artifact,
    remove_artifacts,
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def recipe(**changes):
    values = {"method": "onnx-fused", "model_digest": "d" * 64, "options": {"bits": "8"}, "versions": {"onnx": "1"}}
    return Recipe(**{**values, **changes})


def write(directory: Path, content=b"weights" * 100):
    (directory / "weights.bin").write_bytes(content)


def test_made_once_then_found():
    calls = []
    for _ in range(2):
        made = make_artifact(recipe(), "tiny", lambda directory: (calls.append(1), write(directory)))
        assert (made.directory / "weights.bin").read_bytes() == b"weights" * 100
    assert calls == [1]
    assert find_artifact(recipe()) is not None
    assert [artifact.method for artifact in cached_artifacts()] == ["onnx-fused"]


@pytest.mark.parametrize(
    "changes",
    [{"method": "other"}, {"model_digest": "e" * 64}, {"options": {"bits": "4"}}, {"versions": {"onnx": "2"}}],
)
def test_whatever_decides_the_content_decides_the_key(changes):
    make_artifact(recipe(), "tiny", write)
    assert find_artifact(recipe(**changes)) is None


def damage_a_byte(directory):
    content = bytearray((directory / "weights.bin").read_bytes())
    content[50] ^= 1
    (directory / "weights.bin").write_bytes(content)


def cut_off(directory):
    os.truncate(directory / "weights.bin", 10)


def lose_a_file(directory):
    (directory / "weights.bin").unlink()


def garble_the_manifest(directory):
    (directory / "manifest.json").write_text("{")


@pytest.mark.parametrize("damage", [damage_a_byte, cut_off, lose_a_file, garble_the_manifest])
def test_damaged_artifact_is_made_again(damage):
    made = make_artifact(recipe(), "tiny", write)
    damage(made.directory)
    assert find_artifact(recipe()) is None
    again = make_artifact(recipe(), "tiny", write)
    assert (again.directory / "weights.bin").read_bytes() == b"weights" * 100
    assert find_artifact(recipe()) is not None


def test_failed_build_leaves_nothing():
    def fail(directory):
        write(directory)
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        make_artifact(recipe(), "tiny", fail)
    assert cached_artifacts() == []
    assert not list((paths.artifacts_dir() / ".staging").glob("*"))


def test_full_disk_is_told_before_the_work():
    with pytest.raises(ArtifactError, match=r"take about 10{12} MB and only \d+ MB are free"):
        make_artifact(recipe(), "tiny", write, needed_bytes=10**18)


def test_full_disk_in_the_middle_is_told_and_leaves_nothing():
    def fill(directory):
        write(directory)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ArtifactError, match="no space left"):
        make_artifact(recipe(), "tiny", fill)
    assert not list((paths.artifacts_dir() / ".staging").glob("*"))


def test_two_at_once_make_it_once():
    calls, waits = [], []
    inside, go_on = threading.Event(), threading.Event()

    def build(directory):
        calls.append(1)
        inside.set()
        assert go_on.wait(120)
        write(directory)

    def waiting():
        waits.append(1)
        go_on.set()

    first = threading.Thread(target=make_artifact, args=(recipe(), "tiny", build))
    first.start()
    assert inside.wait(120)
    found = make_artifact(recipe(), "tiny", build, on_wait=waiting)
    first.join()
    assert (calls, waits) == ([1], [1])
    assert found.disk_bytes > 700


def test_killed_build_is_cleaned_up_by_the_next():
    program = """
import signal
from tests.models.test_artifacts import recipe
from tuibench.models.artifacts import make_artifact
def build(directory):
    (directory / "half.bin").write_bytes(b"x")
    print("building", flush=True)
    signal.pause()
make_artifact(recipe(), "tiny", build)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"building\n"
        child.send_signal(signal.SIGKILL)
    assert find_artifact(recipe()) is None
    made = make_artifact(recipe(), "tiny", write)
    assert sorted(path.name for path in made.directory.iterdir()) == ["manifest.json", "weights.bin"]


def test_what_killed_builds_left_is_cleaned_up_while_builds_that_go_on_are_left_alone():
    abandoned = paths.artifacts_dir() / ".staging" / recipe(method="onnx").name
    abandoned.mkdir(parents=True)
    write(abandoned)

    def build(directory):
        write(directory)
        discard_abandoned()
        assert [path.name for path in abandoned.parent.iterdir()] == [directory.name]

    make_artifact(recipe(), "tiny", build)
    assert find_artifact(recipe()) is not None


def test_a_build_that_is_about_to_be_gone_is_waited_for():
    name = recipe(method="onnx").name
    abandoned = paths.artifacts_dir() / ".staging" / name
    abandoned.mkdir(parents=True)
    dying = FileLock(artifacts._lock_path(name))
    dying.acquire()
    waiting = threading.Thread(target=discard_abandoned, kwargs={"patience_s": 600})
    waiting.start()
    discard_abandoned()
    assert abandoned.exists()
    dying.release()
    waiting.join()
    assert not abandoned.exists()


def test_removing_frees_one_model_and_leaves_the_others():
    make_artifact(recipe(), "one", write)
    make_artifact(recipe(model_digest="e" * 64), "two", write)
    assert remove_artifacts("one") > 700
    assert [artifact.model_name for artifact in cached_artifacts()] == ["two"]
    assert remove_artifacts() > 700
    assert cached_artifacts() == []
    assert remove_artifacts() == 0


def test_artifact_being_made_is_not_removed():
    def build(directory):
        write(directory)
        assert remove_artifacts() == 0

    make_artifact(recipe(), "tiny", build)
    assert find_artifact(recipe()) is not None


def test_unknown_fields_of_a_newer_manifest_are_no_error():
    made = make_artifact(recipe(), "tiny", write)
    path = made.directory / artifacts.MANIFEST
    path.write_text(path.read_text().replace("{", '{"newer": 1,', 1))
    assert find_artifact(recipe()) is not None
