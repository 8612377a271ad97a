"""The running tuibench as a wheel: the same bytes for the same files, wherever it was installed from."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import tuibench
from tuibench import paths

_EPOCH = (1980, 1, 1, 0, 0, 0)
_WHEEL = "Wheel-Version: 1.0\nGenerator: tuibench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def own_wheel(commit: str | None) -> tuple[str, bytes]:
    """Return the wheel's file name and its content; the commit goes into it, as when it is built."""
    dist_info = f"tuibench-{tuibench.__version__}.dist-info"
    files = dict(sorted(_files()))
    files["tuibench/_commit"] = (commit or "").encode()
    installed = distribution("tuibench")
    for name in ("METADATA", "entry_points.txt"):
        files[f"{dist_info}/{name}"] = (installed.read_text(name) or "").encode()
    files[f"{dist_info}/WHEEL"] = _WHEEL.encode()
    record = f"{dist_info}/RECORD"
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return f"tuibench-{tuibench.__version__}-py3-none-any.whl", written.getvalue()


def _files() -> Iterator[tuple[str, bytes]]:
    package = Path(tuibench.__file__).parent
    folders = {"tuibench": package, "tuibench/_themes": paths.packaged_themes()}
    folders["tuibench/_sessions"] = paths.sample_sessions()
    for name, folder in folders.items():
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
