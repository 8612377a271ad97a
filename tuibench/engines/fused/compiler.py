"""Numba, set up once: what the kernels may assume. Only who compiles imports this; `machine_code` has what came out."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from tuibench.engines.fused.lowering import KernelPipeline
from tuibench.engines.fused.machine_code import CACHE_FOLDER

_Function = TypeVar("_Function", bound=Callable[..., Any])
FAST = {"reassoc", "nsz", "arcp", "contract", "afn"}
"""Sums may be reordered, else no reduction is vectorised; NaN and infinity stay what they are: a broken model shows."""


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
    """Compile a function that Python calls through Numba, and keep the result on disk."""
    options = {"cache": CACHE_FOLDER is not None, "no_cfunc_wrapper": True}
    return cast("_Function", numba.njit(**options, **OPTIONS)(function))
