"""Small disks for tests, where this process may mount: what a full or read-only one answers comes from the kernel."""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest


class SmallDisk:
    """A mounted file system of a few hundred KiB."""

    def __init__(self, folder):
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, leave_bytes=0):
        """Fill it up; what is left is at least `leave_bytes`, less than a block more."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1024))
            except OSError:
                pass
            file.truncate(max(0, file.tell() - leave_bytes))
            os.fsync(file.fileno())

    def empty(self):
        """Make room again."""
        self._filler.unlink()
        os.sync()

    def remount(self, options):
        """Change how it is mounted: `ro`, `rw`."""
        _root("mount", "-o", f"remount,{options}", str(self.folder))


@contextmanager
def small_disk(kind, folder):
    """Mount a disk of a kind: `tmpfs`, or `ext4` in a file."""
    folder.mkdir()
    if kind == "tmpfs":
        mount = ("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))
    else:
        image = folder.with_suffix(".image")
        image.write_bytes(bytes(512 << 10))
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("no mkfs.ext4 here")
        _root("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", str(image))
        mount = ("mount", "-o", "loop", str(image), str(folder))
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip(f"a {kind} cannot be mounted here")
    try:
        yield SmallDisk(folder)
    finally:
        _root("umount", "--lazy", str(folder))


def _root(*command):
    subprocess.run(command, check=True, capture_output=True)
