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
