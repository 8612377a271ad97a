"""Has a child process make a folder, which appears under its name whole and checked or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tuibench import paths
from tuibench.core.format import as_text
from tuibench.deploy.messages import Done, Refused, Step, TakeRequest, decode
from tuibench.models.tether import tethered

_LOG_TAIL_BYTES = 400


class TakeError(Exception):
    """No folder could be made; the message says why."""


class FolderError(Exception):
    """A folder cannot be made where it was asked for; the message says what would help."""


def take_in_child(request: TakeRequest, folder: Path, on_step: Callable[[str], None]) -> None:
    """Make a folder; blocks for as long as the method needs to prepare and load, twice.

    Args:
        request: What goes into it; its own `folder` is set here.
        folder: Must not exist, or be empty.
        on_step: Told what is being done.

    Raises:
        FolderError: It cannot be made there.
        TakeError: The method cannot run the model, the disk is full, or the folder does not give the right tokens.
    """
    with _staged(folder) as staging:
        _build(msgspec.structs.replace(request, folder=str(staging.resolve())), on_step)
        try:
            staging.replace(folder)
        except OSError as error:
            raise FolderError(f"{folder}: was taken meanwhile ({error.strerror}); name another with -o") from error


def check_free(folder: Path) -> None:
    """Check that a folder can be made under a name.

    Raises:
        FolderError: Something is there already.
    """
    try:
        taken = folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir())))
    except OSError as error:
        raise FolderError(f"{folder}: cannot be read: {error.strerror}; name another with -o") from error
    if str(folder.absolute()) != as_text(str(folder.absolute())):
        raise FolderError(f"{folder}: its path is not UTF-8, which model libraries cannot open; name another with -o")
    if taken:
        raise FolderError(f"{folder}: there is something already, which is left alone; name another with -o")


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Give a folder beside the one that is meant, and remove whatever is left of it at the end."""
    check_free(folder)
    remove_abandoned()
    staging = folder.parent / f".{folder.name}.{os.getpid()}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
    except OSError as error:
        raise FolderError(f"{folder}: cannot be made: {error.strerror}; name another with -o") from error
    with _noted(staging):
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _noted(staging: Path) -> Iterator[None]:
    """Hold a lock on a folder, which the kernel lifts when this process dies, and leave a note of where it is."""
    lock = os.open(staging, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        note = _notes() / staging.name
        note.parent.mkdir(parents=True, exist_ok=True)
        note.unlink(missing_ok=True)
        note.symlink_to(staging.resolve())
        yield
        note.unlink(missing_ok=True)
    finally:
        os.close(lock)


def remove_abandoned() -> None:
    """Remove what is left of folders whose makers were killed, wherever they were to be."""
    for note in sorted(_notes().glob(".*")):
        staging = note.readlink()
        try:
            lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # it was removed, or became the folder
            note.unlink(missing_ok=True)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # it is being filled
        else:
            shutil.rmtree(staging, ignore_errors=True)
            note.unlink(missing_ok=True)
        finally:
            os.close(lock)


def _notes() -> Path:
    return paths.cache_dir() / "taking"


def _build(request: TakeRequest, on_step: Callable[[str], None]) -> None:
    command = tethered([sys.executable, "-m", "tuibench.deploy.build", msgspec.json.encode(request).decode()])
    log_path = paths.logs_dir() / "take.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    ending: Done | Refused | None = None
    told = ""
    with (
        log_path.open("w+b") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log) as child,
    ):
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        try:
            for line in child.stdout:
                match decode(line):
                    case Step(label) if label == told:
                        pass
                    case Step(label):
                        on_step(told := label)
                    case said:
                        ending = said
        except BaseException:
            child.kill()
            raise
        code = child.wait()
    if isinstance(ending, Refused):
        raise TakeError(ending.message)
    if ending is None:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        raise TakeError(f"the process that makes the folder {how}; {_last_line(log_path)}")


def _last_line(log: Path) -> str:
    tail = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip().splitlines()
    return tail[-1] if tail else "it said nothing"
