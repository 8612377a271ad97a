"""Real control groups for tests, where this process may make them (root, and a hierarchy that is mounted writable)."""

import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")


@contextmanager
def group(controller):
    """Make a group of one controller below this process's own, and remove it when it is empty again."""
    if not (_ROOT / controller).is_dir():
        pytest.skip(f"no control group hierarchy of its own for {controller} here")
    folder = _ROOT / controller / _own(controller) / f"tuibench-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control groups can be made here: {error.strerror}")
    try:
        yield folder
    finally:
        while (folder / "cgroup.procs").read_text():
            time.sleep(0.02)
        folder.rmdir()


def _own(controller):
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and (_ROOT / controller / path.lstrip("/")).is_dir():
            return path.lstrip("/")
    return ""


def enter(folder, pid):
    (folder / "cgroup.procs").write_text(str(pid))


@contextmanager
def frozen(folder, pid):
    """Freeze a process, as `docker pause` does, and put it back where it was."""
    enter(folder, pid)
    (folder / "freezer.state").write_text("FROZEN")
    try:
        yield
    finally:
        (folder / "freezer.state").write_text("THAWED")
        with suppress(ProcessLookupError):
            enter(folder.parent, pid)
