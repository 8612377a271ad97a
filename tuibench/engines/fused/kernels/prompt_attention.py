"""Causal attention of 32 queries of one head at a time, as two products of matrices: queries are columns.

`S[p, q] = Σᵢ key[p, i] · query[q, i]`, weights `P = softmax` down each column, `out[i, q] = Σₚ value[p, i] · P[p, q]`.
Keys lie in groups of 12 positions, so that both products have their outermost index outermost in memory.
"""

from __future__ import annotations

import numpy as np

from tuibench.engines.fused.buffers import FEW, GROUP, QUERY_BLOCK, Heads, Tokens
from tuibench.engines.fused.compiler import kernel
from tuibench.engines.fused.kernels.heads import NO_SINK
from tuibench.engines.fused.kernels.tile_ir import multiply_tile
from tuibench.engines.fused.kernels.vector import cap, exponential

_HIDDEN = np.float32(-np.inf)


@kernel
def _softmax_columns(
    scores: Tokens,
    position: int,
    window: int,
    scale: np.float32,
    softcap: np.float32,
    sink: np.float32,
    columns: Tokens,
) -> None:
    """Turn products, row p that of position p seen from `position`, into `e^(s − max)`; leave the sum of each column.

    Args:
        scores: `[positions, 32]`
        position: Row of the first query's own position.
        window: How many positions a query sees.
        scale: Of the scores.
        softcap: What they then stay below; 0 where they may be of any size.
        sink: A score more, of which only the share is left, in the sum; see `sink_of`.
        columns: See `Heads`.
    """
    if softcap > 0:
        for p in range(scores.shape[0]):
            cap(scores[p], scale, softcap)
        scale = np.float32(1)
    largest, totals = columns[0], columns[1]
    largest[:] = sink
    for p in range(scores.shape[0]):
        row, behind = scores[p], position - p
        for q in range(QUERY_BLOCK):
            seen = (behind + q >= 0) & (behind + q < window)
            row[q] = row[q] * scale if seen else _HIDDEN
            largest[q] = max(largest[q], row[q])
    totals[:] = np.float32(0)
    if sink > NO_SINK:
        for q in range(QUERY_BLOCK):
            totals[q] = exponential(sink - largest[q])
    for p in range(scores.shape[0]):
        row = scores[p]
        for q in range(QUERY_BLOCK):
            row[q] = exponential(row[q] - largest[q]) if row[q] > _HIDDEN else np.float32(0)
            totals[q] += row[q]


@kernel
def attend_block(
    heads: Heads,
    worker: int,
    head: int,
    block: int,
    sizes: tuple[int, int],
    n_before: int,
    limits: tuple[float, float, int],
    sink: np.float32,
    out: Tokens,
    column: int,
) -> None:
    """Attention of one block of queries of one head; fills their rows of `out` from `column` on.

    Args:
        heads: The prompt's.
        worker: Whose memory is used.
        head: Of the queries.
        block: Of the queries.
        sizes: How many KV heads there are, and their width.
        n_before: Positions before that of the first query.
        limits: Scale and cap of the scores, and how many positions a query sees.
        sink: See `sink_of`.
        out: `[tokens, …]`
        column: Of the head's first element.
    """
    n_kv_heads, head_dim = sizes
    kv_head = head // (heads.queries.shape[0] // n_kv_heads)
    n_positions, depth = heads.values.shape[1], (head_dim + FEW - 1) // FEW * FEW
    scale, softcap, window = limits
    first_row = block * QUERY_BLOCK
    start = n_before + first_row
    end = min(start + QUERY_BLOCK, n_positions)
    first_group = max(0, start + 1 - window) // GROUP
    begin = first_group * GROUP
    scores, mixed, query = heads.scores[worker], heads.mixed[worker], heads.queries[head, block]
    for group in range(first_group, (end + GROUP - 1) // GROUP):
        keys, row = heads.keys[kv_head, group], group * GROUP - begin
        multiply_tile(GROUP, QUERY_BLOCK, keys, 0, query, 0, head_dim, scores, row, 0)
    columns = heads.columns[worker]
    mine = scores[: end - begin]
    _softmax_columns(mine, start - begin, window, np.float32(scale), np.float32(softcap), sink, columns)
    values, i = heads.values[kv_head, begin:end], 0
    while i + GROUP <= depth:
        multiply_tile(GROUP, QUERY_BLOCK, values, i, scores, 0, end - begin, mixed, i, 0)
        i += GROUP
    while i < depth:
        multiply_tile(FEW, QUERY_BLOCK, values, i, scores, 0, end - begin, mixed, i, 0)
        i += FEW
    for q in range(end - start):
        row, inverse = out[first_row + q][column : column + head_dim], np.float32(1) / columns[1, q]
        for i in range(head_dim):
            row[i] = mixed[i, q] * inverse
