"""Memory that the kernels work in: vectors in all the forms that products want, for a token, a few, or a prompt."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.matrices import INT4_BLOCK, LANES, padded
from tuibench.engines.fused.model import Model, Shape

Tokens = NDArray[np.float32]
GROUP = 12
"""Vectors whose numbers may lie side by side, those for one input after those for the input before."""
FEW = 4
"""What is left of the vectors after whole groups is padded to a multiple of these."""
TILE_COLUMNS = 2 * LANES
QUERY_BLOCK = TILE_COLUMNS
CHUNK = 256
"""Most positions of one chunk: its scores stay in the first-level cache."""
EXPERT_TOKENS = 8
"""Tokens of an expert that share one read of its weights, as many as `multiply` takes at a time."""
_STAGGER = 32


class Inputs(NamedTuple):
    """Vectors in all the forms that a product may want, a row for each token."""

    values: Tokens
    codes: NDArray[np.int16]
    """`values ≈ codes · scales`, rounded for each token by itself; zeros up to a whole block."""
    scales: Tokens
    """`[tokens, 16]`, of which the first counts: each its own cache line, whoever writes the next."""
    sums: Tokens
    """Sums of `codes` over blocks of 32."""


def new_inputs(n_tokens: int, n_inputs: int) -> Inputs:
    """Return memory for vectors of up to `n_inputs` elements."""
    # Rows a multiple of 4 KiB apart would all fall into the same few lines of the first-level cache.
    width = padded(n_inputs, INT4_BLOCK) + _STAGGER
    return Inputs(
        values=np.zeros((n_tokens, width), np.float32),
        codes=np.zeros((n_tokens, width), np.int16),
        scales=np.zeros((n_tokens, LANES), np.float32),
        sums=np.zeros((n_tokens, width // INT4_BLOCK), np.float32),
    )


class Routing(NamedTuple):
    """Memory for the pairs of some tokens. The first two are shared; the others have one part per worker."""

    logits: Tokens
    """`[tokens, experts]`, the router's."""
    hidden: Tokens
    """`[pairs, width of an expert]`"""
    picks: NDArray[np.int64]
    """`[workers, pairs]`: the expert of each."""
    factors: Tokens
    """`[workers, pairs]`: what its result is multiplied by."""
    chosen: NDArray[np.int64]
    """`[workers, 8]`: pairs that one product serves."""
    inputs: Inputs
    """8 rows a worker."""
    outputs: NDArray[np.float32]
    """`[workers, 8, outputs]`"""


def new_routing(shape: Shape, n_workers: int, n_tokens: int) -> Routing:
    """Return memory for so many tokens; almost none where there are no experts."""
    n_pairs, rows = n_tokens * shape.n_active, EXPERT_TOKENS if shape.n_active else 0
    widest_in, widest_out = max(shape.hidden, shape.intermediate), max(shape.hidden, 2 * shape.intermediate)
    return Routing(
        logits=np.zeros((n_tokens, shape.n_experts), np.float32),
        hidden=np.zeros((n_pairs, shape.intermediate), np.float32),
        picks=np.zeros((n_workers, n_pairs), np.int64),
        factors=np.zeros((n_workers, n_pairs), np.float32),
        chosen=np.zeros((n_workers, EXPERT_TOKENS), np.int64),
        inputs=new_inputs(n_workers * rows, widest_in),
        outputs=np.zeros((n_workers, rows, padded(widest_out, LANES)), np.float32),
    )


class Scratch(NamedTuple):
    """Memory between the steps of up to n tokens. The first nine are shared; others have one part per worker."""

    positions: NDArray[np.int64]
    """Of each token in its sequence."""
    sequences: NDArray[np.int64]
    """Of each token, which of those in the cache."""
    residual: Tokens
    """`[n, hidden]`"""
    layer_inputs: Tokens
    """`[n, layers · width]`: what the layers read of the token besides, see `Decoder.layer_input`."""
    projected: Tokens
    """What the token's part in that is made of."""
    qkv: Tokens
    """Or the parts b, c and x that a convolution reads; what it makes of them takes the place of b."""
    hidden: Tokens
    update: Tokens
    """What is to be added to the residual: where a norm of it is, or where that comes after the feed-forward."""
    parts: NDArray[np.float32]
    """`[n, n_heads, chunks, whole panels of head_dim, then two numbers]`, see `kernels_attention`."""
    inputs: Inputs
    """n rows a worker."""
    queries: Inputs
    """A row a worker for each query head that shares a KV head, as in the next."""
    weights: Inputs
    """Of the positions of a chunk."""
    heads: NDArray[np.float32]
    """`[workers, 2 · head_dim]`"""
    outputs: NDArray[np.float32]
    """`[workers, n, outputs]`"""
    routing: Routing
    """Of tokens to experts."""


def new_scratch(model: Model, n_workers: int, capacity: int, n_tokens: int = 1) -> Scratch:
    """Return scratch memory for contexts up to `capacity` positions and `n_tokens` at once."""
    shape = model.shape
    widest_in, widest_out = _widest(model)
    n_kv_heads = model.layers.n_kv_heads
    head_dim, group = int(model.layers.head_dims.max()), shape.n_heads // int(n_kv_heads[n_kv_heads > 0].min())
    # One panel more: a window need not begin with one.
    n_chunks = n_workers * (1 + (capacity + LANES) // (CHUNK * n_workers))
    n_layer_inputs = shape.layer_input * len(model.layers.widths)

    def zeros(*size: int) -> NDArray[np.float32]:
        return np.zeros(size, np.float32)

    return Scratch(
        positions=np.zeros(n_tokens, np.int64),
        sequences=np.zeros(n_tokens, np.int64),
        residual=zeros(n_tokens, shape.hidden),
        layer_inputs=zeros(n_tokens, n_layer_inputs),
        projected=zeros(n_tokens, padded(n_layer_inputs, LANES)),
        qkv=zeros(n_tokens, padded(int(model.layers.qkv_rows.max()), LANES)),
        hidden=zeros(n_tokens, padded(max(shape.intermediate, shape.layer_input), LANES)),
        update=zeros(n_tokens, shape.hidden),
        parts=zeros(n_tokens, shape.n_heads, n_chunks, padded(head_dim, LANES) + 2),
        inputs=new_inputs(n_workers * n_tokens, widest_in),
        queries=new_inputs(n_workers * group, head_dim),
        weights=new_inputs(n_workers * group, CHUNK),
        heads=zeros(n_workers, 2 * head_dim),
        outputs=zeros(n_workers, n_tokens, padded(widest_out, LANES)),
        routing=new_routing(shape, n_workers, n_tokens),
    )


def _widest(model: Model) -> tuple[int, int]:
    """Return the inputs and the outputs of the widest matrices, the head and the projection excepted."""
    shape, layers = model.shape, model.layers
    attended = shape.n_heads * int(layers.head_dims.max())
    outputs = max((2 if shape.gated else 1) * shape.intermediate, shape.hidden, int(layers.qkv_rows.max()))
    return max(shape.hidden, attended, shape.intermediate, shape.layer_input), max(outputs, shape.layer_input)


class Groups(NamedTuple):
    """Vectors in all the forms that a product may want; what the last group lacks is zeros."""

    values: NDArray[np.float32]
    """`[groups, inputs, 12]`"""
    codes: NDArray[np.int32]
    """`[groups, pairs of inputs, 12]`: two codes each; see `Inputs` for these and what follows."""
    scales: Tokens
    sums: Tokens


def new_groups(rows: Inputs) -> Groups:
    """Return memory for the same vectors in groups."""
    n_groups, width = padded(len(rows.values), GROUP) // GROUP, rows.values.shape[1]
    return Groups(
        values=np.zeros((n_groups, width, GROUP), np.float32),
        codes=np.zeros((n_groups, width // 2, GROUP), np.int32),
        scales=rows.scales,
        sums=rows.sums,
    )


class Heads(NamedTuple):
    """All heads of a prompt and of what stands before it, and memory for one block of queries of each worker."""

    queries: NDArray[np.float32]
    """`[n_heads, blocks, head_dim, 32 queries]`, rotated; of the prompt only."""
    keys: NDArray[np.float32]
    """`[n_kv_heads, groups, head_dim, 12 positions]`, rotated."""
    values: NDArray[np.float32]
    """`[n_kv_heads, positions, head_dim, rounded up to 4]`"""
    scores: NDArray[np.float32]
    """`[workers, positions, 32]`"""
    columns: NDArray[np.float32]
    """`[workers, 2, 32]`: the largest and the sum of each column of the scores."""
    mixed: NDArray[np.float32]
    """`[workers, head_dim, rounded up to 4, 32]`"""


def new_heads(n_heads: int, n_kv_heads: int, head_dim: int, n_tokens: int, n_workers: int, n_before: int = 0) -> Heads:
    """Return memory for a prompt of `n_tokens` behind `n_before` others."""
    n_positions = n_before + n_tokens
    n_groups, n_blocks, depth = -(-n_positions // GROUP), -(-n_tokens // QUERY_BLOCK), padded(head_dim, FEW)

    def zeros(*size: int) -> NDArray[np.float32]:
        return np.zeros(size, np.float32)

    return Heads(
        queries=zeros(n_heads, n_blocks, head_dim, QUERY_BLOCK),
        keys=zeros(n_kv_heads, n_groups, head_dim, GROUP),
        values=zeros(n_kv_heads, n_positions, depth),
        scores=zeros(n_workers, n_groups * GROUP, QUERY_BLOCK),
        columns=zeros(n_workers, 2, QUERY_BLOCK),
        mixed=zeros(n_workers, depth, QUERY_BLOCK),
    )


class Prompt(NamedTuple):
    """Memory for one prompt."""

    n_before: int
    """Tokens of its sequence that the cache holds already."""
    sequence: int
    """Which of those in the cache."""
    residual: Tokens
    layer_inputs: Tokens
    """See `Scratch`."""
    outputs: Tokens
    """What the last product gave, `[tokens, rounded up to 4, outputs of the widest matrix]`."""
    inputs: Inputs
    """What the next product is to be given, token by token."""
    groups: Groups
    """The same, ready for it."""
    heads: Heads
    expanded: NDArray[np.float32]
    """`[workers, inputs, rounded up to whole blocks, 32]`: weights of two panels in FP32."""
    routing: Routing
    """Of tokens to experts."""


def new_prompt(
    model: Model, embedded: Tokens, layer_inputs: Tokens, n_workers: int, n_before: int = 0, sequence: int = 0
) -> Prompt:
    """Return memory for a prompt whose embedded tokens are given; see `Prompt` for its place."""
    shape, n_tokens, (widest_in, widest_out) = model.shape, len(embedded), _widest(model)
    layers, widest_out = model.layers, max(widest_out, layer_inputs.shape[1])
    n_kv_heads, head_dim = int(layers.n_kv_heads.max()), int(layers.head_dims.max())
    inputs = new_inputs(padded(n_tokens, FEW), widest_in)
    return Prompt(
        n_before=n_before,
        sequence=sequence,
        residual=np.ascontiguousarray(embedded),
        layer_inputs=np.ascontiguousarray(layer_inputs),
        # Staggered like the inputs, see there.
        outputs=np.zeros((padded(n_tokens, FEW), padded(widest_out, LANES) + _STAGGER), np.float32),
        inputs=inputs,
        groups=new_groups(inputs),
        heads=new_heads(shape.n_heads, n_kv_heads, head_dim, n_tokens, n_workers, n_before),
        expanded=np.zeros((n_workers, padded(widest_in, INT4_BLOCK), TILE_COLUMNS), np.float32),
        routing=new_routing(shape, n_workers, n_tokens),
    )
