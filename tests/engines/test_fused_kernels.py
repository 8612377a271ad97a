"""Each kernel against its formula in NumPy, over sizes that fit no vector register."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.stored_weights import stored_weights
from tuibench.engines.fused.buffers import (
    CHUNK,
    FEW,
    GROUP,
    QUERY_BLOCK,
    TILE_COLUMNS,
    new_groups,
    new_heads,
    new_inputs,
)
from tuibench.engines.fused.cache import new_store
from tuibench.engines.fused.compiler import entry
from tuibench.engines.fused.kernels.attention import attend_chunk, chunks_of, combine_chunks
from tuibench.engines.fused.kernels.groups import multiply_groups, prepare_group_inputs
from tuibench.engines.fused.kernels.heads import sink_of
from tuibench.engines.fused.kernels.matrix import multiply, prepare_inputs
from tuibench.engines.fused.kernels.prompt_attention import attend_block
from tuibench.engines.fused.kernels.store import put_key, put_value
from tuibench.engines.fused.kernels.team import share
from tuibench.engines.fused.kernels.vector import cap, copy, exponential
from tuibench.engines.fused.matrices import INT4_BLOCK, LANES, n_panels, padded, stored_bytes
from tuibench.engines.fused.packing import PACKINGS

few = settings(max_examples=60, deadline=None)  # the first example compiles


@entry
def product(matrix, first, last, inputs, n_in, out):
    for token in range(out.shape[0]):
        prepare_inputs(matrix, inputs, token, n_in)
    multiply(matrix, 0, first, last, inputs, out.shape[0], out)


@entry
def product_in_groups(matrix, panels, inputs, groups, n_tokens, n_in, space, out):
    for token in range(n_tokens):
        prepare_group_inputs(matrix, inputs, groups, token, n_in)
    multiply_groups(matrix, 0, panels[0], panels[1], groups, n_tokens, space, out)


@entry
def prompt_attention(heads, n_before, scale, softcap, window, sinks, out):
    n_heads, n_blocks, head_dim, _ = heads.queries.shape
    for head in range(n_heads):
        for block in range(n_blocks):
            limits, sink = (scale, softcap, window), sink_of(sinks, head)
            sizes = heads.keys.shape[0], head_dim
            attend_block(heads, 0, head, block, sizes, n_before, limits, sink, out, head * head_dim)


@entry
def exponentials(x, out):
    for i in range(x.size):
        out[i] = exponential(x[i])


@entry
def attention(place, given, memory, out):
    (store, index, start, n_workers), (keys, values, vectors) = place, given
    queries, weights, parts, cap, sinks = memory
    end, n_queries = len(keys), vectors.shape[0]
    for p in range(end):
        put_key(store, index, p, keys[p])
        put_value(store, index, p, values[p])
    for head in range(n_queries):
        copy(vectors[head], queries.values[head])
        prepare_inputs(store.keys, queries, head, vectors.shape[1])
    n_panels, n_chunks = chunks_of(start, end, n_workers)
    for c in range(n_chunks):
        first, last = share(n_panels, c, n_chunks)
        positions = (max(start, (start // LANES + first) * LANES), min(end, (start // LANES + last) * LANES))
        scale, softcap = np.float32(0.3), np.float32(cap)
        out_width = vectors.shape[1]
        attend_chunk(store, index, positions, queries, n_queries, scale, softcap, weights, out_width, parts[:, c])
    for head in range(n_queries):
        combine_chunks(parts[head, :n_chunks], sink_of(sinks, head), out[head])


def sinks_of(rng, n_heads, spread, wanted):
    return (rng.standard_normal(n_heads if wanted else 0) * spread).astype(np.float32)


def softmax_with_sinks(scores, sinks):
    """Return the shares of scores, a row a query; a sink, one for all rows or none, has taken its own."""
    with_sink = np.concatenate([scores, np.broadcast_to(sinks, (len(scores), sinks.shape[-1]))], axis=1)
    weights = np.exp(with_sink - with_sink.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True))[:, : scores.shape[1]]


def times(matrix, vectors, n_out):
    """Return `[vectors, n_out]`; memory that a kernel does not write is NaN."""
    n_vectors, n_in = vectors.shape
    inputs = new_inputs(n_vectors, n_in)
    inputs.values[:, :n_in], inputs.codes[:] = vectors, 99
    out = np.full((n_vectors, n_panels(n_out) * LANES), np.nan, np.float32)
    product(matrix, 0, n_panels(n_out), inputs, n_in, out)
    return out[:, :n_out]


def times_in_groups(matrix, vectors, n_out):
    """The same in groups, by two workers."""
    n_vectors, n_in = vectors.shape
    inputs = new_inputs(padded(n_vectors, FEW), n_in)
    inputs.values[:n_vectors, :n_in] = vectors
    out = np.full((len(inputs.values), n_panels(n_out) * LANES), np.nan, np.float32)
    space, last = np.full((padded(n_in, INT4_BLOCK), TILE_COLUMNS), np.nan, np.float32), n_panels(n_out)
    for panels in ((0, last // 2), (last // 2, last)):
        product_in_groups(matrix, panels, inputs, new_groups(inputs), n_vectors, n_in, space, out)
    return out[:n_vectors, :n_out]


def matrix_of(precision, weights):
    return PACKINGS[precision].pack(weights)


def expanded(matrix, shape):
    return stored_weights(matrix, *shape)[0]


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
@few
@given(
    n_out=st.integers(1, 40),
    n_in=st.integers(1, 300),
    n_vectors=st.integers(1, 80),
    seed=st.integers(0, 2**32 - 1),
    outlier=st.booleans(),
)
def test_product_is_that_of_the_stored_weights(precision, n_out, n_in, n_vectors, seed, outlier):
    rng = np.random.default_rng(seed)
    matrix = matrix_of(precision, rng.standard_normal((n_out, n_in)).astype(np.float32))
    x = rng.standard_normal((n_vectors, n_in)).astype(np.float32)
    if outlier:
        x[0, rng.integers(n_in)] *= 300  # language models have such activations
    weights = expanded(matrix, (n_out, n_in))
    # Inputs are rounded to steps of max |x| / 2^15 or, in long rows, a little coarser.
    step = 0 if precision == "fp32" else np.abs(x).max(axis=1, keepdims=True) / 32767 / 2 * max(1, n_in / 500)
    bound = 1e-5 * (np.abs(x) @ np.abs(weights).T) + step * np.abs(weights).sum(axis=1)
    assert (np.abs(times(matrix, x, n_out) - x @ weights.T) <= bound).all()


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
@few
@given(n_in=st.integers(1, 700), n_vectors=st.integers(2, 21), seed=st.integers(0, 2**32 - 1))
def test_many_vectors_give_the_bits_of_each_one_alone(precision, n_in, n_vectors, seed):
    rng = np.random.default_rng(seed)
    matrix = matrix_of(precision, rng.standard_normal((20, n_in)).astype(np.float32))
    x = rng.standard_normal((n_vectors, n_in)).astype(np.float32)
    alone = np.concatenate([times(matrix, vector[None], 20) for vector in x])
    np.testing.assert_array_equal(times(matrix, x, 20), alone)


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
@few
@given(
    n_in=st.integers(1, 200),
    n_out=st.integers(1, 80),
    n_vectors=st.integers(1, 60) | st.integers(520, 540),
    seed=st.integers(0, 2**32 - 1),
)
def test_groups_give_the_bits_of_each_vector_alone(precision, n_in, n_out, n_vectors, seed):
    rng = np.random.default_rng(seed)
    matrix = matrix_of(precision, rng.standard_normal((n_out, n_in)).astype(np.float32))
    x = rng.standard_normal((n_vectors, n_in)).astype(np.float32)
    given, alone = times_in_groups(matrix, x, n_out), times(matrix, x, n_out)
    if precision == "int4":
        # They may be multiplied in FP32, which rounds no vector: the same bits among any others.
        weights = expanded(matrix, (n_out, n_in))
        assert (np.abs(given - x @ weights.T) <= np.abs(alone - x @ weights.T).max() + 1e-5 * n_in).all()
        others = np.concatenate([x[-1:], rng.standard_normal((GROUP, n_in)).astype(np.float32)])
        np.testing.assert_array_equal(given[-1], times_in_groups(matrix, others, n_out)[0])
    else:
        np.testing.assert_array_equal(given, alone)


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_only_the_asked_panels_are_written(precision):
    matrix = matrix_of(precision, np.ones((4 * LANES, 40), np.float32))
    out = np.full((1, 4 * LANES), 7, np.float32)
    inputs = new_inputs(1, 40)
    inputs.values[:] = 1
    product(matrix, 1, 3, inputs, 40, out)
    np.testing.assert_allclose(out.reshape(4, LANES), np.tile([[7], [40], [40], [7]], LANES), rtol=1e-3)


def test_the_largest_sums_do_not_overflow():
    n_in = 16_384
    matrix = matrix_of("int8", np.ones((1, n_in), np.float32))
    np.testing.assert_allclose(times(matrix, np.ones((1, n_in), np.float32), 1), n_in, rtol=1e-3)


@few
@given(n_in=st.integers(1, 200), seed=st.integers(0, 2**32 - 1))
def test_int8_rounds_to_the_nearest_step(n_in, seed):
    weights = np.random.default_rng(seed).standard_normal((3, n_in)).astype(np.float32)
    steps = np.abs(weights).max(axis=1) / 127
    errors = np.abs(expanded(matrix_of("int8", weights), weights.shape) - weights).max(axis=1)
    assert (errors <= steps * 0.501).all()


@few
@given(n_in=st.integers(1, 200), seed=st.integers(0, 2**32 - 1))
def test_int4_rounds_within_each_block(n_in, seed):
    weights = np.random.default_rng(seed).standard_normal((3, n_in)).astype(np.float32)
    errors = np.abs(expanded(matrix_of("int4", weights), weights.shape) - weights)
    for start in range(0, n_in, INT4_BLOCK):
        block = weights[:, start : start + INT4_BLOCK]
        step = (block.max(axis=1) - block.min(axis=1)) / 15
        # Scale and minimum are FP16 themselves.
        slack = 2e-3 * np.abs(block).max(axis=1) * 2
        assert (errors[:, start : start + INT4_BLOCK].max(axis=1) <= step / 2 + slack).all()


def test_int4_keeps_weights_that_were_four_bits_before():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 16, (4, 64))
    codes[:, ::INT4_BLOCK], codes[:, 1::INT4_BLOCK] = 0, 15
    weights = (codes * 0.25 - 2).astype(np.float32)
    np.testing.assert_array_equal(expanded(matrix_of("int4", weights), weights.shape), weights)


@few
@given(
    n_bytes=st.sampled_from([2, 3, 4]),
    n_out=st.integers(1, 40),
    n_in=st.integers(1, 200),
    n_vectors=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_fp32_leaves_out_zero_bytes_and_nothing_else(n_bytes, n_out, n_in, n_vectors, seed):
    rng = np.random.default_rng(seed)
    bits = rng.standard_normal((n_out, n_in)).astype(np.float32).view(np.uint32)
    bits &= np.uint32(0xFFFFFFFF << 8 * (4 - n_bytes) & 0xFFFFFFFF)
    bits[-1, -1] |= np.uint32(1 << 8 * (4 - n_bytes))  # the last byte that is stored is needed
    weights = bits.view(np.float32)
    matrix = matrix_of("fp32", weights)
    assert matrix.n_bytes.tolist() == [n_bytes]
    np.testing.assert_array_equal(expanded(matrix, weights.shape), weights)
    x = rng.standard_normal((n_vectors, n_in)).astype(np.float32)
    bound = 1e-5 * (np.abs(x) @ np.abs(weights).T)
    assert (np.abs(times(matrix, x, n_out) - x @ weights.T) <= bound).all()


def test_each_layer_is_stored_as_narrowly_as_it_can_be():
    wide = np.random.default_rng(0).standard_normal((20, 30)).astype(np.float32)
    layers = [np.ones((20, 30), np.float32), wide]
    matrices = [matrix_of("fp32", weights) for weights in layers]
    assert [matrix.n_bytes.tolist() for matrix in matrices] == [[2], [4]]
    assert [stored_bytes(matrix) for matrix in matrices] == [2 * LANES * 30 * n_bytes for n_bytes in (2, 4)]
    np.testing.assert_array_equal([expanded(matrix, (20, 30)) for matrix in matrices], layers)


def test_a_row_of_zeros_stays_zero():
    for precision in PACKINGS:
        matrix = matrix_of(precision, np.zeros((1, 70), np.float32))
        assert times(matrix, np.ones((1, 70), np.float32), 1) == 0


def test_exponential_over_the_whole_range():
    x = np.linspace(-86, 87, 20_001).astype(np.float32)
    out = np.empty_like(x)
    exponentials(x, out)
    np.testing.assert_allclose(out, np.exp(x.astype(np.float64)), rtol=8e-6)


@entry
def caps(x, scale, softcap):
    cap(x, np.float32(scale), np.float32(softcap))


def capped(scores, softcap):
    return softcap * np.tanh(scores / softcap) if softcap else scores


def test_a_cap_over_the_whole_range():
    x = np.concatenate([np.linspace(-600, 600, 40_001), np.geomspace(1e-12, 1, 1001)]).astype(np.float32)
    expected = capped(0.25 * x.astype(np.float64), 30.0)
    caps(x, 0.25, 30.0)
    np.testing.assert_allclose(x, expected, rtol=1e-6)


def test_a_cap_of_what_is_not_a_number_is_none():
    x = np.array([1, np.nan, np.inf, -np.inf], np.float32)
    caps(x, 1.0, 30.0)
    assert np.isnan(x[1])
    np.testing.assert_allclose(x[2:], [30, -30], rtol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@few
@given(
    head_dim=st.sampled_from([2, 6, 16, 20, 64, 80, 128]),
    n_queries=st.integers(1, 9),
    length=st.integers(1, 40) | st.integers(1, 1200),
    window=st.integers(1, 300) | st.just(2000),
    n_workers=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    spread_cap_sinks=st.tuples(st.sampled_from([0.1, 1.0, 30.0]), st.sampled_from([0.0, 1.5, 50.0]), st.booleans()),
)
def test_attention_in_chunks_is_softmax_over_what_is_stored(
    precision, head_dim, n_queries, length, window, n_workers, seed, spread_cap_sinks
):
    spread, softcap, with_sinks = spread_cap_sinks
    rng = np.random.default_rng(seed)
    vectors = (rng.standard_normal((n_queries, head_dim)) * spread).astype(np.float32)
    keys, values = rng.standard_normal((2, length, head_dim)).astype(np.float32)
    exact = keys.copy(), values.copy()
    sinks = sinks_of(rng, n_queries, spread, with_sinks)
    store = new_store(matrix_of(precision, np.zeros((1, 1), np.float32)), 2, length, head_dim)
    start = max(0, length - window)
    parts = np.full((n_queries, 2 * (length // CHUNK + n_workers), padded(head_dim, LANES) + 2), np.nan, np.float32)
    queries, weights, out = new_inputs(n_queries, head_dim), new_inputs(n_queries, CHUNK), np.empty_like(vectors)
    attention((store, 1, start, n_workers), (keys, values, vectors), (queries, weights, parts, softcap, sinks), out)
    for whole, kept in zip(exact, (keys, values), strict=True):
        step = 0 if precision == "fp32" else np.abs(whole).max(axis=1, keepdims=True) / 127
        assert (np.abs(whole - kept) <= step * 0.501).all()
    scores = capped(keys[start:].astype(np.float64) @ vectors.T * 0.3, softcap)
    expected = softmax_with_sinks(scores.T, sinks.reshape(n_queries, -1)) @ values[start:]
    # INT8 keys are multiplied by queries, INT8 values by weights, that are rounded to 2^-15 of the largest.
    coarseness = 0 if precision == "fp32" else np.abs(vectors).max() / 32767 * np.abs(keys).sum(axis=1).max() * 0.3
    np.testing.assert_allclose(out, expected, rtol=0, atol=2e-4 + 4 * coarseness)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_keys_and_values_that_are_not_numbers_show(precision):
    store = new_store(matrix_of(precision, np.zeros((1, 1), np.float32)), 1, 4, 16)
    keys, values, vectors = np.ones((4, 16), np.float32), np.ones((4, 16), np.float32), np.ones((1, 16), np.float32)
    keys[2, 3] = np.nan
    parts, out = np.zeros((1, 2, 18), np.float32), np.empty_like(vectors)
    memory = new_inputs(1, 16), new_inputs(1, CHUNK), parts, 0.0, np.zeros(0, np.float32)
    attention((store, 0, 0, 1), (keys, values, vectors), memory, out)
    assert np.isnan(out).all()


@few
@given(
    n_kv_heads=st.integers(1, 2),
    group=st.integers(1, 3),
    head_dim=st.sampled_from([2, 6, 16, 20, 64]),
    n_tokens_and_before=st.tuples(st.integers(1, 150), st.just(0) | st.integers(1, 70)),
    window=st.integers(1, 60) | st.just(2**31 - 1),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.1, 1.0, 30.0]),
    cap_and_sinks=st.tuples(st.sampled_from([0.0, 1.5, 50.0]), st.booleans()),
)
def test_attention_of_a_prompt_is_causal_softmax(
    n_kv_heads, group, head_dim, n_tokens_and_before, window, seed, spread, cap_and_sinks
):
    (softcap, with_sinks), (n_tokens, n_before) = cap_and_sinks, n_tokens_and_before
    rng = np.random.default_rng(seed)
    queries = (rng.standard_normal((n_kv_heads * group, n_tokens, head_dim)) * spread).astype(np.float32)
    keys, values = rng.standard_normal((2, n_kv_heads, n_before + n_tokens, head_dim)).astype(np.float32)
    heads = new_heads(n_kv_heads * group, n_kv_heads, head_dim, n_tokens, 1, n_before)
    for t in range(n_tokens):
        heads.queries[:, t // QUERY_BLOCK, :, t % QUERY_BLOCK] = queries[:, t]
    for t in range(n_before + n_tokens):
        heads.keys[:, t // GROUP, :, t % GROUP] = keys[:, t]
    heads.values[..., :head_dim] = values
    out = np.full((n_tokens, len(queries) * head_dim), np.nan, np.float32)
    sinks = sinks_of(rng, len(queries), spread, with_sinks)
    prompt_attention(heads, n_before, 0.3, softcap, window, sinks, out)
    behind = n_before + np.arange(n_tokens)[:, None] - np.arange(n_before + n_tokens)
    for head, query in enumerate(queries):
        scores = capped(query.astype(np.float64) @ keys[head // group].T * 0.3, softcap)
        scores[(behind < 0) | (behind >= window)] = -np.inf
        expected = softmax_with_sinks(scores, sinks[head : head + 1]) @ values[head // group]
        found = out[:, head * head_dim : (head + 1) * head_dim]
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)
