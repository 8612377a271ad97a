"""Bringing tuibench and a model to a host, through nothing but its launcher."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tuibench.core import format as fmt
from tuibench.core.run.host import Host
from tuibench.measure.hosts.far_end import FarEnd
from tuibench.measure.hosts.own_wheel import own_wheel
from tuibench.models.cache import RECORD_NAME
from tuibench.models.digest import MEMO_NAME
from tuibench.models.folder import PICKLE_PATTERNS
from tuibench.models.local import LocalModel

_BOOT = "import sys; exec(compile(sys.stdin.buffer.read(int(sys.argv[1])), 'far_prepare.py', 'exec'))"
_OLDEST_PYTHON = (3, 11)
_CHUNK_BYTES = 1 << 20
_SPARE_BYTES = 4 << 30
"""What the libraries and what is made from the model take."""


def prepare(host: Host, model: LocalModel, commit: str | None, tell: Callable[[str], None]) -> None:
    """See that a host has this tuibench and a model; blocks.

    Args:
        host: The machine.
        model: As it is here.
        commit: Of the tuibench that runs here; sessions name it.
        tell: Told each step.

    Raises:
        HostUnusableError: It cannot be brought there; the message says why, and what would help.
    """
    script = Path(__file__).with_name("far_prepare.py").read_bytes()
    words = [f"{name}={value}" for name, value in host.env.items()]
    command = host.command(*(["env", *words] if words else []), "python3", "-c", _BOOT, str(len(script)))
    far = FarEnd(host, command, script)
    try:
        found = far.ask(do="look")
        needed = _SPARE_BYTES + model.weight_bytes
        if found["free_bytes"] < needed:
            tell(f"{fmt.size(found['free_bytes'])} free there: {fmt.size(needed)} would be safe")
        if host.python is None:
            _install(far, found, commit, tell)
        _bring_model(far, host, model, tell)
    finally:
        far.close()


def _install(far: FarEnd, found: dict[str, Any], commit: str | None, tell: Callable[[str], None]) -> None:
    if tuple(found["python"][:2]) < _OLDEST_PYTHON:
        version = ".".join(map(str, found["python"]))
        raise far.unusable(f"its python3 is {version}, tuibench needs 3.11 or newer: set `python` in the settings")
    name, content = own_wheel(commit)
    digest = hashlib.sha256(content).hexdigest()
    if found["wheel"] == digest:
        tell("this tuibench is there already")
        return
    path = f"host-wheel/{name}"
    with tempfile.TemporaryFile() as wheel:
        wheel.write(content)
        tell(f"tuibench: {fmt.size(_send(far, path, wheel, len(content), digest))} sent")
    tell("installing it there, with what it needs from the package index that pip uses there")
    far.ask(do="install", path=path, sha256=digest)


def _bring_model(far: FarEnd, host: Host, model: LocalModel, tell: Callable[[str], None]) -> None:
    found = far.ask(do="ask", python=host.python, words=["find", model.name, model.digest])
    if "found" in found:
        tell(f"the model {model.name} is there already")
        return
    name = f"{model.name}-{model.digest[:8]}" if found["taken"] else model.name
    folder = f"host-upload/{model.digest[:16]}"
    n_sent = 0
    for path in _model_files(model.directory):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            n_sent += _send(far, f"{folder}/{path.name}", file, path.stat().st_size, digest)
    placed = far.ask(do="ask", python=host.python, words=["keep", name, model.source, folder])
    if placed["digest"] != model.digest:
        raise far.unusable("the model's weights are not those that were sent: prepare the host again")
    tell(f"the model {model.name}: {fmt.size(n_sent)} sent, SHA-256 {model.digest[:12]} verified there")


def _send(far: FarEnd, path: str, file: IO[bytes], n_bytes: int, digest: str) -> int:
    """Send what is missing of a file; return how many bytes that was."""
    start = int(far.ask(do="take", path=path, n_bytes=n_bytes, sha256=digest)["from"])
    if start == n_bytes:
        return 0
    file.seek(start)
    while chunk := file.read(_CHUNK_BYTES):
        far.write(chunk)
    far.answer()
    return n_bytes - start


def _model_files(directory: Path) -> list[Path]:
    kept = (
        path for path in sorted(directory.iterdir()) if path.is_file() and path.name not in {RECORD_NAME, MEMO_NAME}
    )
    return [path for path in kept if not any(path.match(pattern) for pattern in PICKLE_PATTERNS)]
