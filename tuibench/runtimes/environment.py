"""Environments of runtimes: one folder each, placed whole by a rename or not at all.

```
runtimes/NAME/            a virtual environment, with tuibench-runtime.json saying what is in it
runtimes/.staging/NAME/   what an unfinished installation has so far; only ever touched under the lock
runtimes/.locks/NAME.lock the kernel frees it when its owner dies
```
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from tuibench import paths
from tuibench.core.run.spec import Method
from tuibench.methods import available_methods
from tuibench.models.cache import disk_bytes
from tuibench.models.waiting_lock import waiting_lock
from tuibench.runtimes.catalogue import RUNTIMES, Runtime, Source
from tuibench.runtimes.steps import OnProgress, run_step
from tuibench.runtimes.steps import RuntimeProblemError as RuntimeProblemError  # noqa: PLC0414 - who installs finds it here
from tuibench.runtimes.tools import missing_tools
from tuibench.runtimes.worker_path import worker_path

_RECORD = "tuibench-runtime.json"
_PIP_OPTIONS = (
    "--no-deps",
    "--only-binary",
    ":all:",
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar",
    "off",
)
_PATIENCE = ("--retries", "1", "--timeout", "15")
_SHOWN_CHARS = 300


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    requirements: tuple[str, ...]
    python: str
    """Version of the interpreter."""
    compiled: bool = False
    """Whether it was compiled on this machine."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An installed runtime."""

    runtime: Runtime
    directory: Path
    current: bool
    """Whether it holds the versions that belong to this version of tuibench, on this Python."""
    compiled: bool
    """Whether it was compiled on this machine."""

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return _python(self.directory)

    @property
    def disk_bytes(self) -> int:
        """What it takes on the disk."""
        return disk_bytes(self.directory)


def find_environment(name: str) -> Environment | None:
    """Return an installed runtime; None where there is none, or only half of one."""
    directory = paths.runtimes_dir() / name
    try:
        record = msgspec.json.decode((directory / _RECORD).read_bytes(), type=_Record)
    except (OSError, msgspec.DecodeError):
        return None
    if not _python(directory).exists():  # the interpreter that it was made from is gone
        return None
    current = record == _record(RUNTIMES[name], compiled=record.compiled)
    return Environment(RUNTIMES[name], directory, current, record.compiled)


def missing(name: str) -> str | None:
    """Return why a runtime cannot be used, in one line with the remedy; None if it can."""
    if name not in RUNTIMES:
        return (
            f"it needs a runtime {name!r}, which this version of tuibench does not know; known: {', '.join(RUNTIMES)}"
        )
    found = find_environment(name)
    if found is not None and found.current:
        return None
    runtime = RUNTIMES[name]
    why = "is not installed" if found is None else "is installed in versions of another tuibench, or of another Python"
    return (
        f"{runtime.title} {why}: `tuibench runtimes add {name}` installs it "
        f"(about {runtime.download_bytes // 1_000_000} MB to download)"
    )


def installed() -> frozenset[str]:
    """Return the names of the runtimes that can be used."""
    return frozenset(name for name in RUNTIMES if missing(name) is None)


def methods_here() -> dict[str, Method]:
    """Return all methods in ladder order; those whose runtime is missing say so as their problem."""
    why = {each.runtime: missing(each.runtime) for each in available_methods().values() if each.runtime is not None}
    return {
        method_id: method
        if method.problem or (reason := why.get(method.runtime or "")) is None
        else msgspec.structs.replace(method, problem=reason, explanation=reason)
        for method_id, method in available_methods().items()
    }


def add(name: str, on_progress: OnProgress, *, compiled: bool = False) -> tuple[Environment, bool]:
    """Return a runtime's environment, and whether it had to be made; blocks.

    Any number of processes may do so at once: one installs, the others wait and find it. One that is killed half-way
    leaves no environment.

    Args:
        name: Of the runtime.
        on_progress: Told each line that the installation writes.
        compiled: Whether it must have been compiled on this machine. If not, one that was will do.

    Raises:
        RuntimeProblemError: It cannot be installed or compiled, or does not work.
    """
    runtime = RUNTIMES[name]
    if compiled:
        _check_compiles(runtime)
    try:
        with waiting_lock(_lock_path(name), lambda: on_progress("waiting for another installation of it")):
            found = find_environment(name)
            if found is not None and found.current and (found.compiled or not compiled):
                return found, False
            return _install(runtime, on_progress, runtime.source if compiled else None), True
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        raise RuntimeProblemError(
            f"{runtime.title} cannot be stored in {paths.runtimes_dir()}: {error.strerror}; "
            "make room there or set TUIBENCH_CACHE to another folder"
        ) from error


def remove(name: str) -> int | None:
    """Remove a runtime and what unfinished installations of it left; return the bytes freed, None if nothing was there.

    Raises:
        RuntimeProblemError: It is being installed at the moment.
    """
    directory, staging = paths.runtimes_dir() / name, _staging(name)
    if not directory.is_dir() and not staging.is_dir():
        return None
    try:
        with FileLock(_lock_path(name), timeout=0):
            freed = disk_bytes(directory) + disk_bytes(staging)
            shutil.rmtree(staging, ignore_errors=True)
            if directory.is_dir():
                staging.parent.mkdir(parents=True, exist_ok=True)
                directory.replace(staging)  # gone at once, even if the deletion below is cut off
            shutil.rmtree(staging, ignore_errors=True)
    except Timeout as error:
        raise RuntimeProblemError(f"{name} is being installed at the moment; end that first") from error
    return freed


def probe(runtime: Runtime, python: Path) -> str:
    """Return what a runtime says of itself, loaded in its environment.

    Raises:
        RuntimeProblemError: It does not load.
    """
    script = f"import runpy, tuibench.worker.serve; runpy.run_module({runtime.probe!r}, run_name='__main__')"
    command = [str(python), "-c", script]
    child = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=os.environ | runtime_variables(),
    )
    if child.returncode:
        why = _last_line(child.stderr) or f"it ended with {child.returncode} (negative: the signal)"
        raise RuntimeProblemError(f"{runtime.title} does not work on this machine: {why}")
    return child.stdout.strip()


def runtime_variables() -> dict[str, str]:
    """Return the environment variables with which a runtime's interpreter finds our worker, and no packages of ours."""
    return {"PYTHONPATH": str(worker_path()), "PYTHONNOUSERSITE": "1"}


def _check_compiles(runtime: Runtime) -> None:
    if tools := missing_tools():
        raise RuntimeProblemError(
            f"{runtime.title} cannot be compiled here: {' and '.join(tools)} missing; on Debian and Ubuntu, "
            "`apt-get install build-essential cmake` brings all that is needed; without --build it comes compiled"
        )


def _install(runtime: Runtime, on_progress: OnProgress, source: Source | None) -> Environment:
    staging, directory = _staging(runtime.name), paths.runtimes_dir() / runtime.name
    shutil.rmtree(staging, ignore_errors=True)
    staging.parent.mkdir(parents=True, exist_ok=True)
    if find_spec("pip") is None:
        raise RuntimeProblemError(f"pip is missing beside tuibench: `{sys.executable} -m ensurepip` installs it")
    try:
        on_progress("making an environment")
        run_step(["venv", "--without-pip", str(staging)], on_progress)
        # pip's own interpreter installs into the other one: the environment needs no pip of its own.
        pip = ["pip", "--python", str(_python(staging)), "install", *_PIP_OPTIONS, *_PATIENCE]
        if source is None:
            run_step([*pip, *runtime.requirements], on_progress)
        else:
            on_progress("compiling it, which takes minutes")
            # Verbose: it is what the compiler says that tells how far it is, and why it fails.
            # pip keeps what it compiled, whatever it was compiled for: another processor, other options.
            compiled = [*pip, "--no-binary", source.package, "--no-cache-dir", "--verbose"]
            run_step([*compiled, *runtime.requirements], on_progress, source.variables)
        on_progress("trying it")
        probe(runtime, _python(staging))
        (staging / _RECORD).write_bytes(
            msgspec.json.format(msgspec.json.encode(_record(runtime, compiled=source is not None)))
        )
        os.sync()
        if directory.is_dir():
            shutil.rmtree(directory)
        staging.replace(directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Environment(runtime, directory, current=True, compiled=source is not None)


def _record(runtime: Runtime, *, compiled: bool) -> _Record:
    python = ".".join(map(str, sys.version_info[:2]))
    return _Record(requirements=runtime.requirements, python=python, compiled=compiled)


def _staging(name: str) -> Path:
    return paths.runtimes_dir() / ".staging" / name


def _python(directory: Path) -> Path:
    return directory / "bin" / "python"


def _lock_path(name: str) -> Path:
    path = paths.runtimes_dir() / ".locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_SHOWN_CHARS] if lines else ""
