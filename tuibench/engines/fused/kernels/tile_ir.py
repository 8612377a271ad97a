"""Tiles of a product of two matrices in FP32, in LLVM's vector notation: what many tokens are made of.

`out[r, c] = Σₖ a[k, r] · b[k, c]` for 12 or 4 rows and 16 or 32 columns. Both lie with k outermost, so that a step
reads some numbers side by side and one or two vectors side by side: 14 loads for 24 products of vectors, whose sums
stay in registers. Where a register holds 8 numbers the tile is made in parts, each as large as 16 registers allow.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tuibench.engines.fused.kernels.vector_ir import F32, FLOATS, INDEX, Emitter, fp32_vectors, int4_vectors
from tuibench.engines.fused.matrices import FP32_BYTES, INT4_BLOCK, LANES, Fp32Matrix, Int4Matrix

_NARROW_ROWS = 6
_VECTORS = {Fp32Matrix: fp32_vectors, Int4Matrix: int4_vectors}
_STEPS = {Fp32Matrix: 1, Int4Matrix: INT4_BLOCK}
"""Inputs of one step, by what is stored."""


class _Matrix:
    """A matrix in memory whose rows are whole, from one of its elements on."""

    def __init__(self, emitter: Emitter, kind: Any, array: Any, row: Any, column: Any) -> None:
        self._emitter = emitter
        view = emitter.context.make_array(kind)(emitter.context, emitter.builder, array)
        self._row_bytes = cgutils.unpack_tuple(emitter.builder, view.strides)[0]
        self._start = emitter.address(kind, array, row, column)

    def place(self, row: Any, column: int) -> tuple[Any, Any]:
        builder = self._emitter.builder
        return self._start, builder.add(builder.mul(row, self._row_bytes), INDEX(FP32_BYTES * column))


def _emit_part(
    emitter: Emitter, a: _Matrix, b: _Matrix, out: _Matrix, n_steps: Any, rows: range, columns: range
) -> None:
    builder = emitter.builder
    totals = {(row, column): emitter.new_sum(FLOATS) for row in rows for column in columns}
    with cgutils.for_range(builder, n_steps) as loop:
        vectors = {column: emitter.load(*b.place(loop.index, column), FLOATS) for column in columns}
        for row in rows:
            number = emitter.in_all_lanes(emitter.load(*a.place(loop.index, row), F32))
            for column, vector in vectors.items():
                emitter.add_product(totals[row, column], vector, number)
    for (row, column), total in totals.items():
        emitter.store(builder.load(total), *out.place(INDEX(row), column))


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]  # Numba carries no types
def multiply_tile(
    _context: Any,
    n_rows: Any,
    n_columns: Any,
    a: Any,
    a_column: Any,
    b: Any,
    b_column: Any,
    n_steps: Any,
    out: Any,
    out_row: Any,
    out_column: Any,
) -> Any:
    """`out[out_row + r, out_column + c] = Σₖ a[k, a_column + r] · b[k, b_column + c]`, all FP32, each row in one piece.

    For `r < n_rows` and `c < n_columns`, a multiple of 16, which are literals, and `k < n_steps`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emitter, kinds, zero = Emitter(context, builder), signature.args, INDEX(0)
        given_a, a_column, given_b, b_column, n_steps, given_out, out_row, out_column = arguments[2:]
        a = _Matrix(emitter, kinds[2], given_a, zero, a_column)
        b = _Matrix(emitter, kinds[4], given_b, zero, b_column)
        out = _Matrix(emitter, kinds[7], given_out, out_row, out_column)
        tall, wide = kinds[0].literal_value, kinds[1].literal_value
        n_rows, n_columns = (tall, wide) if "+avx512f" in emitter.features else (min(tall, _NARROW_ROWS), LANES)
        for row in range(0, tall, n_rows):
            for column in range(0, wide, n_columns):
                _emit_part(
                    emitter, a, b, out, n_steps, range(row, row + n_rows), range(column, column + n_columns, LANES)
                )
        return context.get_dummy_value()

    places = (a, types.intp, b, types.intp, types.intp, out, types.intp, types.intp)
    return types.void(n_rows, n_columns, *places), generate


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def expand_panel(_context: Any, matrix: Any, layer: Any, panel: Any, out: Any, column: Any) -> Any:
    """`out[k, column + lane] = w[16 · panel + lane, k]`, all four bytes of each weight; return how many k there are.

    Those of an `Fp32Matrix` are its inputs, those of an `Int4Matrix` go on to a whole block.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emitter, kind, stored = Emitter(context, builder), signature.args[0], matrix.instance_class
        values, layer, panel, given_out, column = arguments
        out = _Matrix(emitter, signature.args[3], given_out, INDEX(0), column)
        for index, _, weights in _VECTORS[stored](emitter, kind, values, layer, panel):
            emitter.store(weights, *out.place(index, 0))
        view = context.make_array(kind.types[0])(context, builder, builder.extract_value(values, 0))
        n_steps = cgutils.unpack_tuple(builder, view.shape)[2]
        return builder.mul(n_steps, INDEX(_STEPS[stored]))

    return types.intp(matrix, types.intp, types.intp, out, types.intp), generate
