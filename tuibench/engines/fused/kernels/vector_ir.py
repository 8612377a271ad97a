"""The inner loop, written in LLVM's vector notation: 16 rows of weights times a few vectors.

A row is a lane: `total[t][lane] += w[lane, k] · x[t, k]`, where `w[:, k]` is one vector read from memory and `x[t, k]`
one number in all lanes. So nothing is added up across lanes, a weight is read once for all vectors, and every sum is
made in the same order however many vectors there are: many vectors give the bits of each one alone.

With whole numbers a step takes two inputs: `a₀·b₀ + a₁·b₁` on pairs of 16-bit numbers is one instruction on x86
(`vpmaddwd`; with the addition that follows even `vpdpwssd`, where there is VNNI). LLVM does not find it by itself, so
it is named here; elsewhere the same is said in plain operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from tuibench.engines.fused.buffers import GROUP
from tuibench.engines.fused.matrices import FP32_BYTES, INT4_BLOCK, LANES, Fp32Matrix, Int4Matrix, Int8Matrix

PREFETCH_BYTES = 4096
"""How far ahead weights are asked for. The processor's own prefetchers stop at every page of 4 KiB and start anew."""
_CACHE_LINE_BYTES = 64
_CHAINS = 4
"""Sums that a single vector is spread over, so that additions need not wait for each other."""
_I8, _I16, _I32, _F16, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.HalfType(), ir.FloatType()
INDEX = ir.IntType(64)
FLOATS, _INTS = ir.VectorType(F32, LANES), ir.VectorType(_I32, LANES)
_ROWS = 2
_INT4_BYTES, _LEVEL_BYTES = INT4_BLOCK * LANES // 2, 2 * LANES
"""Of a block: its codes, and the scales or the minima behind them."""
_PAIRS, _BYTES = ir.VectorType(_I16, 2 * LANES), ir.VectorType(_I8, FP32_BYTES * LANES)


def cpu_features() -> list[str]:
    """Return what the processor that is compiled for has and lacks, in LLVM's words, as `+avx2`."""
    return cpu_target.target_context.codegen().magic_tuple()[-1].split(",")  # type: ignore[no-any-return]


class Emitter:
    """What all precisions need: places in memory, numbers in all lanes, sums that are kept in registers."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder
        self.features = cpu_features()

    def address(self, kind: Any, array: Any, *indices: Any) -> Any:
        """Return the address of an element, or of a part of an array, in bytes."""
        view = self.context.make_array(kind)(self.context, self.builder, array)
        place = self.builder.bitcast(view.data, _I8.as_pointer())
        for index, stride in zip(indices, cgutils.unpack_tuple(self.builder, view.strides), strict=False):
            place = self.builder.gep(place, [self.builder.mul(index, stride)])
        return place

    def load(self, address: Any, n_bytes: Any, kind: ir.Type) -> Any:
        place = self.builder.bitcast(self.builder.gep(address, [n_bytes]), kind.as_pointer())
        return self.builder.load(place, align=1)

    def store(self, value: Any, address: Any, n_bytes: Any) -> None:
        place = self.builder.gep(address, [n_bytes])
        self.builder.store(value, self.builder.bitcast(place, value.type.as_pointer()), align=1)

    def load_floats(self, address: Any, n_bytes: int) -> Any:
        """Load 16 floats of which the most significant bytes lie side by side; 64 bytes are read however many count."""
        loaded = self.load(address, INDEX(0), _BYTES)
        zero, missing = _BYTES.count, FP32_BYTES - n_bytes
        of_lane = ([zero] * missing + [n_bytes * lane + j for j in range(n_bytes)] for lane in range(LANES))
        mask = ir.Constant(ir.VectorType(_I32, _BYTES.count), [place for places in of_lane for place in places])
        return self.builder.bitcast(self.builder.shuffle_vector(loaded, ir.Constant(_BYTES, None), mask), FLOATS)

    def in_all_lanes(self, value: Any) -> Any:
        kind = ir.VectorType(value.type, LANES)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, _I32(0))
        return self.builder.shuffle_vector(first, first, ir.Constant(_INTS, [0] * LANES))

    def new_sum(self, kind: ir.Type) -> Any:
        return cgutils.alloca_once_value(self.builder, ir.Constant(kind, None))

    def clear(self, total: Any) -> None:
        self.builder.store(ir.Constant(total.type.pointee, None), total)

    def add_product(self, total: Any, left: Any, right: Any) -> None:
        """`total += left · right`, rounded once where the processor can."""
        product = self.builder.fmul(left, right, flags=("contract",))
        self.builder.store(self.builder.fadd(self.builder.load(total), product, flags=("contract",)), total)

    def add_pairs(self, total: Any, weights: Any, pair: Any) -> None:
        """`total[lane] += weights[2 lane] · pair[0] + weights[2 lane + 1] · pair[1]`; the pair comes as 32 bits."""
        inputs = self.builder.bitcast(self.in_all_lanes(pair), _PAIRS)
        products = self._pairs_product(weights, inputs)
        self.builder.store(self.builder.add(self.builder.load(total), products), total)

    def add_up(self, totals: list[Any]) -> Any:
        values = [self.builder.load(total) for total in totals]
        while len(values) > 1:
            values = [self.builder.add(*values[i : i + 2]) for i in range(0, len(values), 2)]
        return values[0]

    def prefetch(self, address: Any, n_bytes: Any) -> None:
        """Ask for a cache line, which may lie behind the end: such a request is dropped."""
        place = self.builder.gep(address, [self.builder.add(n_bytes, INDEX(PREFETCH_BYTES))])
        kind = ir.FunctionType(ir.VoidType(), [place.type, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = _I32(0), _I32(3), _I32(1)
        self.builder.call(function, [place, read, keep, data])

    def _pairs_product(self, left: Any, right: Any) -> Any:
        builder, n_lanes = self.builder, left.type.count
        feature, name = {
            2 * LANES: ("+avx512bw", "llvm.x86.avx512.pmaddw.d.512"),
            LANES: ("+avx2", "llvm.x86.avx2.pmadd.wd"),
        }[n_lanes]
        if feature in self.features:
            kind = ir.FunctionType(ir.VectorType(_I32, n_lanes // 2), [left.type, left.type])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [left, right])
        if n_lanes > LANES and "+avx2" in self.features:
            # No registers of this width: the same on both halves, put together.
            halves = [list(range(n_lanes // 2)), list(range(n_lanes // 2, n_lanes))]
            parts = [self._pairs_product(self._lanes(left, half), self._lanes(right, half)) for half in halves]
            return builder.shuffle_vector(*parts, ir.Constant(_INTS, list(range(LANES))))
        wide = ir.VectorType(_I32, n_lanes)
        products = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
        return builder.add(*(self._lanes(products, list(range(first, n_lanes, 2))) for first in (0, 1)))

    def _lanes(self, vector: Any, lanes: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)
        return self.builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


class _Panel:
    """The arguments of one product, as addresses: one panel of a matrix, and rows of the inputs."""

    def __init__(self, emitter: Emitter, kinds: dict[str, Any], values: dict[str, Any]) -> None:
        self.emitter, self._kinds, self._values = emitter, kinds, values
        builder = emitter.builder
        self.tokens = [builder.add(values["token"], INDEX(t)) for t in range(kinds["n_tokens"].literal_value)]
        self.weights = self.part("matrix", 0)
        first = builder.extract_value(values["matrix"], 0)
        view = emitter.context.make_array(kinds["matrix"].types[0])(emitter.context, builder, first)
        self.n_steps = cgutils.unpack_tuple(builder, view.shape)[2]

    def part(self, name: str, field: int, *indices: Any) -> Any:
        """Return the address of this panel's part of a field of the matrix, or of one token's part of the inputs."""
        array = self.emitter.builder.extract_value(self._values[name], field)
        found = indices or (self._values["layer"], self._values["panel"])
        return self.emitter.address(self._kinds[name].types[field], array, *found)

    def inputs(self, field: int) -> list[Any]:
        """Return the address of each token's row of a field of the inputs."""
        return [self.part("inputs", field, token) for token in self.tokens]

    def input(self, field: int, index: Any, kind: ir.Type) -> list[Any]:
        """Return for each token one of the 32-bit inputs, of its row or of its column in a group."""
        builder, array = self.emitter.builder, self._kinds["inputs"].types[field]
        if array.ndim == _ROWS:
            place = builder.mul(index, INDEX(4))
            return [self.emitter.load(row, place, kind) for row in self.inputs(field)]
        group, column = (operation(self._values["token"], INDEX(GROUP)) for operation in (builder.sdiv, builder.srem))
        first = builder.add(builder.mul(index, INDEX(4 * GROUP)), builder.mul(column, INDEX(4)))
        start = self.part("inputs", field, group)
        return [self.emitter.load(start, builder.add(first, INDEX(4 * t)), kind) for t in range(len(self.tokens))]

    def chains(self, kind: ir.Type) -> list[list[Any]]:
        """Return the sums of each token: several for one or two tokens, one for many."""
        n_chains = max(1, _CHAINS // len(self.tokens))
        return [[self.emitter.new_sum(kind) for _ in range(n_chains)] for _ in self.tokens]

    def fp32_vectors(self) -> Iterator[tuple[Any, Any, Any]]:
        """See the function of this name."""
        values = self._values
        return fp32_vectors(self.emitter, self._kinds["matrix"], values["matrix"], values["layer"], values["panel"])

    def prefetch(self, weights: Any, n_bytes: Any, count: int) -> None:
        """Ask for what follows, unless the weights of this panel are read again and again."""
        for line in range(count if len(self.tokens) == 1 else 0):
            self.emitter.prefetch(weights, self.emitter.builder.add(n_bytes, INDEX(line * _CACHE_LINE_BYTES)))

    def store(self, results: list[Any]) -> None:
        """Write 16 outputs of each token."""
        builder, values = self.emitter.builder, self._values
        column = builder.mul(values["panel"], INDEX(LANES))
        for token, result in zip(self.tokens, results, strict=True):
            self.emitter.store(result, self.emitter.address(self._kinds["out"], values["out"], token, column), INDEX(0))


def fp32_vectors(emitter: Emitter, kind: Any, matrix: Any, layer: Any, panel: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Emit, for each number of bytes a weight, a loop over one panel of an `Fp32Matrix`; what follows is its body.

    Yield the input's number, the address of the 16 weights for it and, in all their bytes, the weights themselves.
    """
    builder = emitter.builder
    high_bytes, widths = (builder.extract_value(matrix, field) for field in range(2))
    n_bytes = emitter.load(emitter.address(kind.types[1], widths, layer), INDEX(0), INDEX)
    view = emitter.context.make_array(kind.types[0])(emitter.context, builder, high_bytes)
    _, _, n_steps, room = cgutils.unpack_tuple(builder, view.shape)
    # By strides: what is a part of a matrix has fewer steps than lie between its panels.
    steps_apart = builder.sdiv(cgutils.unpack_tuple(builder, view.strides)[1], room)
    start = builder.mul(builder.mul(panel, steps_apart), builder.mul(n_bytes, INDEX(LANES)))
    weights = builder.gep(emitter.address(kind.types[0], high_bytes, layer), [start])
    for n in (2, 3, FP32_BYTES):
        of_this_width = builder.icmp_unsigned("==", n_bytes, INDEX(n))
        with builder.if_then(of_this_width), cgutils.for_range(builder, n_steps) as loop:
            place = builder.gep(weights, [builder.mul(loop.index, INDEX(n * LANES))])
            yield loop.index, place, emitter.load_floats(place, n)


def int4_vectors(emitter: Emitter, kind: Any, matrix: Any, layer: Any, panel: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Emit a loop over the blocks of one panel of an `Int4Matrix`; what follows is in its body, once for each input.

    Yield the input's number, the address of the block and the 16 weights for that input, in FP32.
    """
    builder = emitter.builder
    blocks = builder.extract_value(matrix, 0)
    view = emitter.context.make_array(kind.types[0])(emitter.context, builder, blocks)
    panel_start = emitter.address(kind.types[0], blocks, layer, panel)
    with cgutils.for_range(builder, cgutils.unpack_tuple(builder, view.shape)[2]) as loop:
        block = builder.gep(panel_start, [builder.mul(loop.index, INDEX(_INT4_BYTES + 2 * _LEVEL_BYTES))])
        scales, minima = _int4_levels(emitter, block, INDEX(0))
        for vector in range(INT4_BLOCK // 8):
            words = emitter.load(block, INDEX(vector * 4 * LANES), _INTS)
            for half, plane in product(range(2), range(4)):
                shift = ir.Constant(_INTS, [16 * half + 4 * plane] * LANES)
                codes = builder.and_(builder.lshr(words, shift), ir.Constant(_INTS, [15] * LANES))
                scaled = builder.fmul(builder.uitofp(codes, FLOATS), scales, flags=("contract",))
                number = INDEX(8 * vector + 2 * plane + half)
                index = builder.add(builder.mul(loop.index, INDEX(INT4_BLOCK)), number)
                yield index, block, builder.fadd(scaled, minima, flags=("contract",))


def _int4_levels(emitter: Emitter, weights: Any, block: Any) -> tuple[Any, Any]:
    """Return scale and minimum of the 16 rows of a block, which begins `block` bytes after `weights`."""
    halves, first = ir.VectorType(_F16, LANES), emitter.builder.add(block, INDEX(_INT4_BYTES))
    scales = emitter.load(weights, first, halves)
    minima = emitter.load(weights, emitter.builder.add(first, INDEX(_LEVEL_BYTES)), halves)
    return emitter.builder.fpext(scales, FLOATS), emitter.builder.fpext(minima, FLOATS)


def _emit_fp32(panel: _Panel) -> None:
    """2 to 4 bytes a weight, see `Fp32Matrix`; the bytes that are not stored come back as zeros, in one shuffle."""
    emitter, builder = panel.emitter, panel.emitter.builder
    totals = [emitter.new_sum(FLOATS) for _ in panel.tokens]
    for index, place, weights in panel.fp32_vectors():
        panel.prefetch(place, INDEX(0), 1)
        for total, value in zip(totals, panel.input(0, index, F32), strict=True):
            emitter.add_product(total, weights, emitter.in_all_lanes(value))
    panel.store([builder.load(total) for total in totals])


def _emit_int8(panel: _Panel) -> None:
    """1 byte a weight: `(Σ q · code) · scale · scale_x`; a step is 4 inputs, one cache line."""
    emitter, builder = panel.emitter, panel.emitter.builder
    chains = panel.chains(_INTS)
    with cgutils.for_range(builder, panel.n_steps) as loop:
        place = builder.mul(loop.index, INDEX(4 * LANES))
        panel.prefetch(panel.weights, place, 1)
        for pair in range(2):
            half = builder.add(place, INDEX(pair * 2 * LANES))
            weights = builder.sext(emitter.load(panel.weights, half, ir.VectorType(_I8, 2 * LANES)), _PAIRS)
            step = builder.add(builder.mul(loop.index, INDEX(2)), INDEX(pair))
            for chain, codes in zip(chains, panel.input(1, step, _I32), strict=True):
                emitter.add_pairs(chain[pair % len(chain)], weights, codes)
    scales = emitter.load(panel.part("matrix", 1), INDEX(0), FLOATS)
    results = []
    for chain, place in zip(chains, panel.inputs(2), strict=True):
        unit = emitter.in_all_lanes(emitter.load(place, INDEX(0), F32))
        whole = builder.sitofp(emitter.add_up(chain), FLOATS)
        results.append(builder.fmul(builder.fmul(whole, scales), unit))
    panel.store(results)


def _emit_int4(panel: _Panel) -> None:
    """0.625 bytes a weight: `Σ_blocks scale · (Σ q · code) + minimum · Σ code`, times `scale_x`.

    A block is 4 vectors of 16-bit words and two of FP16 levels. Bits 0–3 of the words of vector i are the codes of
    inputs 8 i and 8 i + 1, bits 4–7 those of the next two, and so on: a shift and a mask give 32 codes in 16-bit lanes.
    """
    emitter, builder = panel.emitter, panel.emitter.builder
    totals, chains = [emitter.new_sum(FLOATS) for _ in panel.tokens], panel.chains(_INTS)
    sums = panel.inputs(3)
    mask, block_bytes = ir.Constant(_PAIRS, [15] * 2 * LANES), _INT4_BYTES + 2 * _LEVEL_BYTES
    with cgutils.for_range(builder, panel.n_steps) as loop:
        block = builder.mul(loop.index, INDEX(block_bytes))
        panel.prefetch(panel.weights, block, block_bytes // _CACHE_LINE_BYTES)
        for chain in chains:
            for total in chain:
                emitter.clear(total)
        for vector in range(INT4_BLOCK // 8):
            words = emitter.load(panel.weights, builder.add(block, INDEX(vector * 4 * LANES)), _PAIRS)
            for plane in range(4):
                shifted = builder.lshr(words, ir.Constant(_PAIRS, [4 * plane] * 2 * LANES)) if plane else words
                weights = builder.and_(shifted, mask) if plane < 3 else shifted  # noqa: PLR2004 - the top bits
                step = builder.add(builder.mul(loop.index, INDEX(INT4_BLOCK // 2)), INDEX(4 * vector + plane))
                for chain, pair in zip(chains, panel.input(1, step, _I32), strict=True):
                    emitter.add_pairs(chain[plane % len(chain)], weights, pair)
        scales, minima = _int4_levels(emitter, panel.weights, block)
        for total, chain, place in zip(totals, chains, sums, strict=True):
            emitter.add_product(total, builder.sitofp(emitter.add_up(chain), FLOATS), scales)
            value = emitter.load(place, builder.mul(loop.index, INDEX(4)), F32)
            emitter.add_product(total, minima, emitter.in_all_lanes(value))
    units = [emitter.in_all_lanes(emitter.load(place, INDEX(0), F32)) for place in panel.inputs(2)]
    panel.store([builder.fmul(builder.load(total), unit) for total, unit in zip(totals, units, strict=True)])


_EMIT = {Fp32Matrix: _emit_fp32, Int8Matrix: _emit_int8, Int4Matrix: _emit_int4}


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]  # Numba carries no types
def multiply_panel(
    _context: Any, n_tokens: Any, matrix: Any, layer: Any, panel: Any, inputs: Any, token: Any, out: Any
) -> Any:
    """`out[t, 16 · panel + lane] = Σₖ w[16 · panel + lane, k] · inputs[t, k]` for `token ≤ t < token + n_tokens`.

    `n_tokens` is a literal. Inputs and matrix are the tuples of `kernels_matrix` and `matrices`, `out` is FP32.
    """
    names = ("n_tokens", "matrix", "layer", "panel", "inputs", "token", "out")
    given = (n_tokens, matrix, types.intp, types.intp, inputs, types.intp, out)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = dict(zip(names, signature.args, strict=True))
        values = dict(zip(names, arguments, strict=True))
        _EMIT[matrix.instance_class](_Panel(Emitter(context, builder), kinds, values))
        return context.get_dummy_value()

    return types.void(*given), generate
