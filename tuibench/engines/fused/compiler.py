"""Numba, set up once: where compiled code is kept, what the kernels may assume.

Numba keys its cache by processor, instruction sets, its own version and the source file of the *outermost* function
only; of another version's entries it says nothing, it compiles anew. The folder's name therefore is a digest over all
that compiled code depends on: what lies in one folder fits together, and a mark that it is complete stays true.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
from numba.core.registry import cpu_target

from tuibench import paths
from tuibench.engines.fused.lowering import KernelPipeline

_Function = TypeVar("_Function", bound=Callable[..., Any])
_DIGITS = 16
FAST = {"reassoc", "nsz", "arcp", "contract", "afn"}
"""Sums may be reordered, else no reduction is vectorised; NaN and infinity stay what they are: a broken model shows."""


def _digest() -> str:
    """Return a digest over the kernels' sources, the compiler's versions, processor and instruction sets."""
    target = cpu_target.target_context.codegen().magic_tuple()
    digest = hashlib.sha256(repr((numba.__version__, llvmlite.__version__, target)).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:_DIGITS]


def _cache_folder() -> Path | None:
    """Return a folder for compiled code, or None where nothing can be written."""
    folder = paths.cache_dir() / "numba" / _digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return None
    return folder


CACHE_FOLDER = _cache_folder()
"""None: compiled anew in every process."""
if CACHE_FOLDER is not None:
    # It read its environment when it was imported, and reads it again when that changes.
    os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = str(CACHE_FOLDER)


OPTIONS: dict[str, Any] = {
    "fastmath": FAST,
    "nogil": True,
    "error_model": "numpy",
    # Without its runtime Numba cannot allocate, and counts no references: else every slice of an array would cost two
    # indivisible additions, on a cache line that all workers want. The caller keeps the arrays.
    "_nrt": False,
}
CHOICE: dict[str, Any] = {
    "jit_options": {"fastmath": FAST, "error_model": "numpy", "pipeline_class": KernelPipeline},
    "strict": False,
}
"""For `numba.extending.overload`: a kernel that is chosen by the kinds of its arguments."""


def kernel(function: _Function) -> _Function:
    """Compile a function that runs on one thread; only compiled code can call it, see `lowering`."""
    return cast("_Function", numba.njit(pipeline_class=KernelPipeline, **OPTIONS)(function))


def entry(function: _Function) -> _Function:
    """Compile a function that Python calls, and keep the result on disk."""
    options = {"cache": CACHE_FOLDER is not None, "no_cfunc_wrapper": True}
    return cast("_Function", numba.njit(**options, **OPTIONS)(function))


def was_compiled(function: Callable[..., Any]) -> bool:
    """Return whether an entry had to be compiled in this process, instead of being read from the cache."""
    dispatcher = cast("Any", function)
    return bool(dispatcher.signatures) and not dispatcher.stats.cache_hits
