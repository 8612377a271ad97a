"""Compiles the kernels of a precision, in two processes: `python -m tuibench.engines.fused.compile_ahead int8 tokens`.

Every process then runs the code that was read from the cache. Compiled in place, the same kernels round otherwise here
and there (LLVM sees, and contracts, more at once): the first trial after an installation would write another text than
all later ones. Two halves, since Numba compiles one function at a time; nothing is measured yet.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import cast, get_args

from tuibench.engines.fused.compiler import CACHE_FOLDER
from tuibench.engines.fused.packing import WRITERS
from tuibench.engines.fused.session import Part, compile_kernels
from tuibench.models.tether import tethered

_STDERR = 2
"""A worker's log: its standard output is not for third parties."""


def compile_ahead(precision: str) -> bool:
    """Have the kernels ready in this process; return whether they had to be compiled.

    Where the cache cannot be written, or a child fails, they are compiled in this process.
    """
    if CACHE_FOLDER is None or (CACHE_FOLDER / precision).exists():
        return compile_kernels(WRITERS[precision])
    environment = os.environ | {"TUIBENCH_CACHE": str(CACHE_FOLDER.parents[1])}
    commands = [
        tethered([sys.executable, "-m", "tuibench.engines.fused.compile_ahead", precision, part])
        for part in get_args(Part)
    ]
    children = [
        subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=_STDERR) for command in commands
    ]
    if not any([child.wait() for child in children]):  # noqa: C419 - wait for all
        (CACHE_FOLDER / precision).touch()
    compile_kernels(WRITERS[precision])
    return True


if __name__ == "__main__":
    compile_kernels(WRITERS[sys.argv[1]], cast("Part", sys.argv[2]))
