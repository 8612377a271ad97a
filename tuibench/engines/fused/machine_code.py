"""The compiled kernels: kept as object files under what they were compiled from, made by a child process if need be.

Compiled in place, the same kernels round otherwise here and there (LLVM sees, and contracts, more at once); and Numba
with LLVM would take 100 MB beside the weights. So every process that computes has only the code.

A folder's name is a digest over all that compiled code depends on. A file begins with a digest of what follows, so that
one that was cut off, or has rotted, is made again.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from copy import copy
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from tuibench import paths
from tuibench.engines.fused.layout import kind_of, record_of
from tuibench.engines.fused.linking import LinkedCode
from tuibench.models.artifacts import ArtifactError
from tuibench.models.tether import tethered

_STDERR = 2
"""A worker's log: its standard output is not for third parties."""
_DIGITS = 16
_DIGEST_BYTES = 32
_FAILED = -(2**63)
_Number = ctypes.c_int64
_WITHOUT_CODE = {"engine.py", "facts.py", "linking.py", "session.py", "team.py", "unsupported.py", "weights.py"}
_CPU_FACTS = {
    "vendor_id", "cpu family", "model", "model name", "stepping", "flags",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features",
}  # fmt: skip
_COMPILER_VARIABLES = ("CPU_NAME", "CPU_FEATURES", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX")


class Content(msgspec.Struct):
    """What a file holds behind its digest."""

    kinds: dict[str, list[str]]
    """Of the arguments of each entry."""
    code: bytes
    """An object file."""


def code_digest() -> str:
    """Return a digest over the kernels' sources, the compiler's versions and settings, and the processor."""
    settings = {name: os.environ.get(f"NUMBA_{name}") for name in _COMPILER_VARIABLES}
    described = [version("numba"), version("llvmlite"), platform.machine(), _processor(), settings]
    digest = hashlib.sha256(repr(described).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        if path.name not in _WITHOUT_CODE or path.parent.name == "kernels":
            digest.update(path.read_bytes())
    return digest.hexdigest()[:_DIGITS]


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    lines = text.split("\n\n", maxsplit=1)[0].splitlines()
    return "\n".join(line for line in lines if line.partition(":")[0].strip() in _CPU_FACTS)


def cache_folder() -> Path | None:
    """Return a folder for compiled code, or None where nothing can be written."""
    folder = paths.cache_dir() / "numba" / code_digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return None
    return folder


def parts_of(precision: str, *, varied: bool = False) -> list[str]:
    """Return the names of what is compiled for a precision, each in a process of its own; see `layers.is_varied`."""
    models = "-varied" if varied else ""
    return ["common", f"{precision}-tokens{models}", f"{precision}-prompts{models}"]


def compile_missing(parts: list[str]) -> bool:
    """Compile what is not there or damaged; return whether there was anything.

    Raises:
        ArtifactError: The compiler failed.
    """
    folder = _folder()
    missing = [part for part in parts if read_code(folder / part) is None]
    commands = [tethered([sys.executable, "-m", f"{__package__}.compile_ahead", part, str(folder)]) for part in missing]
    children = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=_STDERR) for command in commands]
    codes = [child.wait() for child in children]
    if any(codes):
        raise ArtifactError(f"compiling kernels ended with {codes} (negative: the signal); the log has the rest")
    return bool(missing)


CACHE_FOLDER = cache_folder()
"""Known once and for all: a process goes on with the code that it began with."""


@cache
def _folder() -> Path:
    """Return where the code is; where it cannot be kept, in a folder that is gone with this process."""
    if CACHE_FOLDER is not None:
        return CACHE_FOLDER
    _own.append(tempfile.TemporaryDirectory(prefix="tuibench-kernels-"))
    return Path(_own[0].name)


_own: list[tempfile.TemporaryDirectory[str]] = []


def write_code(path: Path, content: Content) -> None:
    """Write a file whole or not at all."""
    encoded = msgspec.msgpack.encode(content)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(hashlib.sha256(encoded).digest() + encoded)
    partial.replace(path)


def read_code(path: Path) -> Content | None:
    """Return what a file holds, or None where it is missing or damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(content[_DIGEST_BYTES:]).digest() != content[:_DIGEST_BYTES]:
        return None
    return msgspec.msgpack.decode(content[_DIGEST_BYTES:], type=Content)


@cache
def entry(part: str, name: str) -> Entry:
    """Return a function of a part, which is compiled if it has to be."""
    return _entries(part)[name]


@cache
def _entries(part: str) -> dict[str, Entry]:
    compile_missing([part])
    content = read_code(_folder() / part)
    if content is None:
        raise ArtifactError("compiled kernels are gone right after they were made; is another process removing them?")
    code = LinkedCode(content.code, list(content.kinds))
    return {name: Entry(name, kinds, code) for name, kinds in content.kinds.items()}


class Entry:
    """A compiled function: takes numbers, arrays and tuples of them, and returns a whole number."""

    def __init__(self, name: str, kinds: list[str], code: LinkedCode) -> None:
        self.name, self._kinds, self._code = name, kinds, code
        self.run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(code.addresses[name])
        """Takes the address of a list of the arguments' addresses; Python's lock is free meanwhile."""

    def __call__(self, *arguments: Any) -> int:
        return self.bind(*arguments)()

    def bind(self, *arguments: Any) -> Call:
        """Return a call that can be made again and again.

        Raises:
            TypeError: The function was compiled for other kinds of arguments.
        """
        kinds = [kind_of(argument) for argument in arguments]
        if kinds != self._kinds:
            raise TypeError(f"{self.name} was compiled for {self._kinds}, and not for {kinds}")
        return Call(self, arguments)


class Call:
    """An entry with its arguments in place; the `value` of a number's record may be changed between two calls."""

    def __init__(self, function: Entry, arguments: tuple[Any, ...]) -> None:
        self._function, self._arguments = function, arguments
        self._place([record_of(argument) for argument in arguments])

    def _place(self, records: list[Any]) -> None:
        self.records = records
        self._addresses = (ctypes.c_void_p * len(records))(*map(ctypes.addressof, records))
        self._address = ctypes.addressof(self._addresses)

    def with_number(self, index: int, value: int) -> Call:
        """Return a call with another number at an index, and with numbers of its own; arrays and tuples are shared."""
        other = copy(self)
        own = [copy(record) if isinstance(record, _Number) else record for record in self.records]
        other._place(own)  # noqa: SLF001 - the same class
        other.records[index].value = value
        return other

    def __call__(self) -> int:
        result: int = self._function.run(self._address)
        if result == _FAILED:
            raise RuntimeError(f"{self._function.name} failed")
        return result
