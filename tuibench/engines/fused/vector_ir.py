"""The two inner loops that no compiler finds by itself, written in LLVM's vector notation.

`a₀·b₀ + a₁·b₁` on pairs of 16-bit numbers is one instruction on x86 (`vpmaddwd`; with the addition that follows even
`vpdpwssd`, where there is VNNI). LLVM finds it in simple loops only, so it is named here; elsewhere the same is said in
plain operations.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

INT8_LANES = 32
"""Weights of one step of `dot_int8`; vectors are padded to a multiple."""
INT4_LANES = 64
"""Weights of one step of `dot_int4`: two blocks of 32."""
TILE = 4
"""Rows and vectors that are multiplied at once, each value read once for four products."""
_I16, _I32, _F32, _F16 = ir.IntType(16), ir.IntType(32), ir.FloatType(), ir.HalfType()


def _vector(element: ir.Type, n_lanes: int) -> ir.VectorType:
    return ir.VectorType(element, n_lanes)


def _data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:  # noqa: ANN401 - Numba's own
    return context.make_array(array_type)(context, builder, array).data


def _load(builder: Any, pointer: Any, index: Any, kind: ir.Type) -> Any:  # noqa: ANN401 - llvmlite's own
    """Read a vector that starts at element `index`."""
    address = builder.bitcast(builder.gep(pointer, [index]), kind.as_pointer())
    return builder.load(address, align=1)


_MULTIPLY_ADD = {32: ("avx512bw", "llvm.x86.avx512.pmaddw.d.512"), 16: ("avx2", "llvm.x86.avx2.pmadd.wd")}
"""By lanes: what the processor must have, and LLVM's name for `vpmaddwd`."""


def _lanes(builder: Any, vector: Any, lanes: list[int]) -> Any:  # noqa: ANN401 - llvmlite's own
    mask = ir.Constant(_vector(_I32, len(lanes)), lanes)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _pairs_product(context: Any, builder: Any, left: Any, right: Any) -> Any:  # noqa: ANN401 - llvmlite's own
    """`left[i] · right[i]` of 16-bit lanes in 32 bits, neighbours or halves added up: half as many lanes."""
    n_lanes = left.type.count
    feature, name = _MULTIPLY_ADD.get(n_lanes, ("", ""))
    if feature and f"+{feature}" in context.codegen().magic_tuple()[-1].split(","):
        kind = ir.FunctionType(_vector(_I32, n_lanes // 2), [left.type, left.type])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [left, right])
    halves = [list(range(n_lanes // 2)), list(range(n_lanes // 2, n_lanes))]
    if n_lanes > min(_MULTIPLY_ADD):
        # No registers of this width: the same on both halves, put together.
        parts = [
            _pairs_product(context, builder, _lanes(builder, left, half), _lanes(builder, right, half))
            for half in halves
        ]
        return builder.shuffle_vector(*parts, ir.Constant(_vector(_I32, n_lanes // 2), list(range(n_lanes // 2))))
    wide = _vector(_I32, n_lanes)
    products = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
    return builder.add(*(_lanes(builder, products, half) for half in halves))


def _sum(builder: Any, vector: Any) -> Any:  # noqa: ANN401 - llvmlite's own
    lanes, element = vector.type.count, vector.type.element
    whole = element == _I32
    name = f"llvm.vector.reduce.{'add' if whole else 'fadd'}.v{lanes}{'i32' if whole else 'f32'}"
    arguments = [vector.type] if whole else [element, vector.type]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(element, arguments), name)
    return builder.call(
        function, [vector] if whole else [ir.Constant(_F32, 0.0), vector], fastmath=() if whole else ("reassoc",)
    )


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def dot_int8(_context: Any, _weights: Any, _x: Any) -> Any:  # noqa: ANN401 - Numba's own
    """`Σ weights[k] · x[k]` of INT8 weights and INT16 inputs, in INT32; both of the same multiple of 32 elements."""
    signature = types.int32(types.Array(types.int8, 1, "C"), types.Array(types.int16, 1, "C"))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        weights, x = (
            _data(context, builder, kind, array) for kind, array in zip(signature.args, arguments, strict=True)
        )
        length = context.make_array(signature.args[0])(context, builder, arguments[0]).nitems
        total = cgutils.alloca_once_value(builder, ir.Constant(_vector(_I32, INT8_LANES // 2), None))
        with cgutils.for_range_slice(builder, length.type(0), length, length.type(INT8_LANES)) as (k, _):
            codes = _load(builder, weights, k, _vector(ir.IntType(8), INT8_LANES))
            wide = builder.sext(codes, _vector(_I16, INT8_LANES))
            inputs = _load(builder, x, k, _vector(_I16, INT8_LANES))
            builder.store(builder.add(builder.load(total), _pairs_product(context, builder, wide, inputs)), total)
        return _sum(builder, builder.load(total))

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def dot_int4(_context: Any, _words: Any, _levels: Any, _x: Any, _sums: Any, _unit: Any) -> Any:  # noqa: ANN401 - Numba's own
    """`Σ_blocks scale[b] · unit · Σ code[k] · x[k] + minimum[b] · sums[b]` over blocks of 32.

    16 words of 16 bits hold 64 codes: bits 0–3 of word j are code j, bits 4–7 code 16 + j, then 32 + j and 48 + j. So a
    shift and a mask give 16 codes in 16-bit lanes, ready to be multiplied. Their two blocks have four levels, the bits
    of FP16 numbers: both scales, both minima.
    """
    bits = types.Array(types.uint16, 1, "C")
    floats = types.Array(types.float32, 1, "C")
    signature = types.float32(bits, bits, types.Array(types.int16, 1, "C"), floats, types.float32)
    lanes, half = INT4_LANES // 4, INT4_LANES // 8

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        words, levels, x, sums = (
            _data(context, builder, kind, array)
            for kind, array in zip(signature.args[:-1], arguments[:-1], strict=True)
        )
        n_words = context.make_array(signature.args[0])(context, builder, arguments[0]).nitems
        totals = [cgutils.alloca_once_value(builder, ir.Constant(_vector(_F32, half), None)) for _ in range(2)]
        offset = cgutils.alloca_once_value(builder, ir.Constant(_vector(_F32, 2), None))
        low = ir.Constant(_vector(_I16, lanes), [15] * lanes)

        def accumulate(total: Any, left: Any, right: Any) -> None:  # noqa: ANN401
            product = builder.fmul(left, right, flags=("contract",))
            builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)

        with cgutils.for_range_slice(builder, n_words.type(0), n_words, n_words.type(lanes)) as (k, _):
            sixteen = _load(builder, words, k, _vector(_I16, lanes))
            four = builder.fpext(
                _load(builder, levels, builder.udiv(k, n_words.type(lanes // 4)), _vector(_F16, 4)), _vector(_F32, 4)
            )
            two_sums = _load(builder, sums, builder.udiv(k, n_words.type(lanes // 2)), _vector(_F32, 2))
            accumulate(offset, _lanes(builder, four, [2, 3]), two_sums)
            for block, total in enumerate(totals):
                products = []
                for plane in (2 * block, 2 * block + 1):
                    shifted = builder.lshr(sixteen, ir.Constant(_vector(_I16, lanes), [4 * plane] * lanes))
                    place = builder.add(builder.mul(k, n_words.type(4)), n_words.type(plane * lanes))
                    inputs = _load(builder, x, place, _vector(_I16, lanes))
                    products.append(_pairs_product(context, builder, builder.and_(shifted, low), inputs))
                whole = builder.sitofp(builder.add(*products), _vector(_F32, half))
                accumulate(total, whole, _lanes(builder, four, [block] * half))
        scaled = _sum(builder, builder.fadd(*(builder.load(total) for total in totals)))
        return builder.fadd(builder.fmul(scaled, arguments[-1]), _sum(builder, builder.load(offset)))

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def float_of_half(_context: Any, _bits: Any) -> Any:  # noqa: ANN401 - Numba's own
    """Read 16 bits as an FP16 number."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.fpext(builder.bitcast(arguments[0], _F16), _F32)

    return types.float32(types.uint16), generate


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def prefetch(_context: Any, array: Any, index: Any) -> Any:  # noqa: ANN401, ARG001 - Numba's own
    """Ask for the cache line of an element, which may lie behind the end: such a request is dropped."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        address = builder.gep(_data(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        byte = builder.bitcast(address, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [byte.type, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = (ir.Constant(_I32, value) for value in (0, 3, 1))
        builder.call(function, [byte, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _has(context: Any, feature: str) -> bool:  # noqa: ANN401 - Numba's own
    return f"+{feature}" in context.codegen().magic_tuple()[-1].split(",")


def _tile(context: Any, builder: Any, signature: Any, arguments: Any, whole: bool) -> Any:  # noqa: ANN401, FBT001
    """Emit `out[4 · r + t] = Σ weights[row + r, k] · x[token + t, k]` over all whole vectors of k; return their end."""
    kinds, values = dict(enumerate(signature.args)), dict(enumerate(arguments))
    weights, x = (context.make_array(kinds[i])(context, builder, values[i]) for i in (0, 2))
    out = _data(context, builder, kinds[4], values[4])
    n_inputs, wide = values[5], _has(context, "avx512bw")
    n_lanes = (32 if whole else 16) // (1 if wide else 2)
    # 16 sums, 4 weights and an input fit the 32 registers of AVX-512; with 16 registers it is half the rows at a time.
    rows_at_once = TILE if wide else TILE // 2
    kind = _vector(_I32, n_lanes // 2) if whole else _vector(_F32, n_lanes)
    index = n_inputs.type
    end = builder.mul(builder.udiv(n_inputs, index(n_lanes)), index(n_lanes))

    def vector(array: Any, row: Any, k: Any, element: ir.Type) -> Any:  # noqa: ANN401
        stride = builder.udiv(cgutils.unpack_tuple(builder, array.strides)[0], array.itemsize)
        return _load(builder, array.data, builder.add(builder.mul(row, stride), k), _vector(element, n_lanes))

    for first in range(0, TILE, rows_at_once):
        rows = range(first, first + rows_at_once)
        totals = {
            (r, t): cgutils.alloca_once_value(builder, ir.Constant(kind, None)) for r in rows for t in range(TILE)
        }
        with cgutils.for_range_slice(builder, index(0), end, index(n_lanes)) as (k, _):
            inputs = [vector(x, builder.add(values[3], index(t)), k, _I16 if whole else _F32) for t in range(TILE)]
            for r in rows:
                weight = vector(weights, builder.add(values[1], index(r)), k, ir.IntType(8) if whole else _F32)
                weight = builder.sext(weight, _vector(_I16, n_lanes)) if whole else weight
                for t in range(TILE):
                    total = builder.load(totals[r, t])
                    if whole:
                        total = builder.add(total, _pairs_product(context, builder, weight, inputs[t]))
                    else:
                        product = builder.fmul(weight, inputs[t], flags=("contract",))
                        total = builder.fadd(total, product, flags=("contract",))
                    builder.store(total, totals[r, t])
        for (r, t), total in totals.items():
            builder.store(_sum(builder, builder.load(total)), builder.gep(out, [ir.Constant(_I32, TILE * r + t)]))
    return end


def _tile_signature(weight: Any, x: Any, out: Any) -> Any:  # noqa: ANN401 - Numba types
    matrices = types.Array(weight, 2, "C"), types.Array(x, 2, "C")
    return types.intp(matrices[0], types.intp, matrices[1], types.intp, types.Array(out, 1, "C"), types.intp)


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def tile_int8(_context: Any, weights: Any, row: Any, x: Any, token: Any, out: Any, n_inputs: Any) -> Any:  # noqa: ANN401, ARG001
    """Multiply 4 rows of INT8 weights by 4 vectors of INT16; see `_tile`. `n_inputs` is a multiple of 32."""
    return _tile_signature(types.int8, types.int16, types.int32), lambda *given: _tile(*given, whole=True)


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def tile_fp32(_context: Any, weights: Any, row: Any, x: Any, token: Any, out: Any, n_inputs: Any) -> Any:  # noqa: ANN401, ARG001
    """Multiply 4 rows by 4 vectors in FP32; see `_tile`. The last few inputs, fewer than 16, are left to the caller."""
    return _tile_signature(types.float32, types.float32, types.float32), lambda *given: _tile(*given, whole=False)
