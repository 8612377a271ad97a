"""Reading memory as the matrix kernels do, and nothing else: what they reach at best."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import entry
from tuibench.engines.fused.kernels.vector_ir import INDEX, Emitter
from tuibench.engines.fused.matrices import LANES

_CHAINS = 4
_WORDS = ir.VectorType(ir.IntType(32), LANES)
_LINE_BYTES = 4 * LANES


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def _add_up_words(_context: Any, array: Any) -> Any:
    """Read 64 bytes at a time, in order, asking ahead; several sums, so that none is waited for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emitter = Emitter(context, builder)
        start = emitter.address(signature.args[0], arguments[0])
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        (n_bytes,) = cgutils.unpack_tuple(builder, view.shape)
        totals = [emitter.new_sum(_WORDS) for _ in range(_CHAINS)]
        step = INDEX(_CHAINS * _LINE_BYTES)
        with cgutils.for_range(builder, builder.udiv(n_bytes, step)) as loop:
            for number, total in enumerate(totals):
                place = builder.add(builder.mul(loop.index, step), INDEX(number * _LINE_BYTES))
                emitter.prefetch(start, place)
                builder.store(builder.add(builder.load(total), emitter.load(start, place, _WORDS)), total)
        whole = emitter.add_up(totals)
        lanes = [builder.extract_element(whole, ir.IntType(32)(lane)) for lane in range(LANES)]
        result = lanes[0]
        for lane in lanes[1:]:
            result = builder.add(result, lane)
        return result

    return types.uint32(array), generate


@entry
def read_through(part: NDArray[np.uint8]) -> int:
    """Read whole steps of 256 bytes from start to end; return the sum of their 32-bit words, modulo 2³²."""
    return int(_add_up_words(part))
