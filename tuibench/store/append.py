"""Appending to a session file: whole or not at all, on the disk when it returns, one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "make the disk writable again",
    errno.EIO: "look after the disk",
}


def append(path: Path, text: str) -> None:
    """Append to a file that exists, and wait until the disk has it.

    Raises:
        OSError: It could not be written. The file is as long as before, unless even that could not be done.
    """
    with opened(path) as descriptor:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            _write(descriptor, text.encode())
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)  # half a table would hide behind the next one
            raise


def create(path: Path, text: str) -> None:
    """Make a file that is there with its whole content or not at all.

    Raises:
        FileExistsError: The name is taken.
        OSError: It could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # Exclusive: a link that somebody put there in a shared folder is not followed.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            _write(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        move(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def move(source: Path, target: Path) -> None:
    """Give a file a name that must be free.

    Raises:
        FileExistsError: The name is taken.
        OSError: The file cannot be moved, and keeps its name.
    """
    try:
        os.link(source, target)  # unlike a rename, it fails if the name is taken
    except FileExistsError:
        raise
    except OSError:  # no hard links here (FAT, Android, some of FUSE and NFS), or what the next line meets again
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
        try:
            source.replace(target)
        except OSError:
            target.unlink()
            raise
    else:
        source.unlink()


def remedy(error: OSError) -> str:
    """Return what somebody can do about a file that could not be written, as a short order."""
    return _REMEDIES.get(error.errno or 0, "see to it that the folder can be written to")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file that exists for writing, once no other process of ours writes to it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: nothing better is to be had
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    """Write all of it. Unbuffered: a buffer would hold what a full disk refused, and offer it again."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # a file system that cannot; the file itself is safe
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
