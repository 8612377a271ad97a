"""A folder with our package and nothing else, for interpreters that have packages of their own.

Our own `site-packages` on their path would put our numpy before theirs, and torch beside it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

import tuibench
from tuibench import paths
from tuibench.methods import GROUP


def worker_path() -> Path:
    """Return the folder; it links to this very installation, and names the methods of it."""
    package = Path(tuibench.__file__).resolve().parent
    points = "".join(
        f"{point.name} = {point.value}\n"
        for point in sorted(entry_points(group=GROUP))
        if point.value.startswith("tuibench.")
    )
    key = hashlib.sha256(f"{package}\n{tuibench.__version__}\n{points}".encode()).hexdigest()[:16]
    folder = paths.runtimes_dir() / ".worker" / key
    if not folder.is_dir():
        _make(folder, package, points)
    return folder


def _make(folder: Path, package: Path, points: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
    (staging / "tuibench").symlink_to(package, target_is_directory=True)
    metadata = staging / f"tuibench-{tuibench.__version__}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tuibench\nVersion: {tuibench.__version__}\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{points}")
    try:
        os.rename(staging, folder)  # noqa: PTH104 - Path.replace would say the same and hide what may go wrong
    except OSError:
        shutil.rmtree(staging)
        if not folder.is_dir():  # nobody else has made the same meanwhile
            raise
