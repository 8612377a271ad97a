"""Causal attention of 32 queries of one head at a time, as two products of matrices: queries are columns.

`S[p, q] = Σᵢ key[p, i] · query[q, i]`, weights `P = softmax` down each column, `out[i, q] = Σₚ value[p, i] · P[p, q]`.
Keys lie in groups of 12 positions, so that both products have their outermost index outermost in memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import kernel
from tuibench.engines.fused.kernels.groups import FEW
from tuibench.engines.fused.kernels.matrix import Tokens
from tuibench.engines.fused.kernels.tile_ir import TILE_COLUMNS, multiply_tile
from tuibench.engines.fused.kernels.vector import cap, exponential
from tuibench.engines.fused.kernels.vector_ir import GROUP
from tuibench.engines.fused.matrices import padded

QUERY_BLOCK = TILE_COLUMNS
_HIDDEN = np.float32(-np.inf)


class Heads(NamedTuple):
    """All heads of a prompt, and memory for one block of queries of each worker."""

    queries: NDArray[np.float32]
    """`[n_heads, blocks, head_dim, 32 queries]`, rotated."""
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


def new_heads(n_heads: int, n_kv_heads: int, head_dim: int, n_tokens: int, n_workers: int) -> Heads:
    """Return memory for a prompt of `n_tokens`."""
    n_groups, n_blocks, depth = -(-n_tokens // GROUP), -(-n_tokens // QUERY_BLOCK), padded(head_dim, FEW)

    def zeros(*size: int) -> NDArray[np.float32]:
        return np.zeros(size, np.float32)

    return Heads(
        queries=zeros(n_heads, n_blocks, head_dim, QUERY_BLOCK),
        keys=zeros(n_kv_heads, n_groups, head_dim, GROUP),
        values=zeros(n_kv_heads, n_tokens, depth),
        scores=zeros(n_workers, n_groups * GROUP, QUERY_BLOCK),
        columns=zeros(n_workers, 2, QUERY_BLOCK),
        mixed=zeros(n_workers, depth, QUERY_BLOCK),
    )


@kernel
def _softmax_columns(
    scores: Tokens, position: int, window: int, scale: np.float32, softcap: np.float32, columns: Tokens
) -> None:
    """Turn products, row p that of position p seen from `position`, into `e^(s − max)`; leave the sum of each column.

    Args:
        scores: `[positions, 32]`
        position: Row of the first query's own position.
        window: How many positions a query sees.
        scale: Of the scores.
        softcap: What they then stay below; 0 where they may be of any size.
        columns: See `Heads`.
    """
    if softcap > 0:
        for p in range(scores.shape[0]):
            cap(scores[p], scale, softcap)
        scale = np.float32(1)
    largest, totals = columns[0], columns[1]
    largest[:] = _HIDDEN
    for p in range(scores.shape[0]):
        row, behind = scores[p], position - p
        for q in range(QUERY_BLOCK):
            seen = (behind + q >= 0) & (behind + q < window)
            row[q] = row[q] * scale if seen else _HIDDEN
            largest[q] = max(largest[q], row[q])
    totals[:] = np.float32(0)
    for p in range(scores.shape[0]):
        row = scores[p]
        for q in range(QUERY_BLOCK):
            row[q] = exponential(row[q] - largest[q]) if row[q] > _HIDDEN else np.float32(0)
            totals[q] += row[q]


@kernel
def attend_block(
    heads: Heads, worker: int, head: int, block: int, limits: tuple[float, float, int], out: Tokens, column: int
) -> None:
    """Attention of one block of queries of one head; fills their rows of `out` from `column` on.

    Args:
        heads: The prompt's.
        worker: Whose memory is used.
        head: Of the queries.
        block: Of the queries.
        limits: Scale and cap of the scores, and how many positions a query sees.
        out: `[tokens, …]`
        column: Of the head's first element.
    """
    n_heads, _, head_dim, _ = heads.queries.shape
    kv_head = head // (n_heads // heads.keys.shape[0])
    n_tokens, depth = heads.values.shape[1:]
    scale, softcap, window = limits
    start = block * QUERY_BLOCK
    end = min(start + QUERY_BLOCK, n_tokens)
    first_group = max(0, start + 1 - window) // GROUP
    begin = first_group * GROUP
    scores, mixed, query = heads.scores[worker], heads.mixed[worker], heads.queries[head, block]
    for group in range(first_group, (end + GROUP - 1) // GROUP):
        keys, row = heads.keys[kv_head, group], group * GROUP - begin
        multiply_tile(GROUP, QUERY_BLOCK, keys, 0, query, 0, head_dim, scores, row, 0)
    columns = heads.columns[worker]
    _softmax_columns(scores[: end - begin], start - begin, window, np.float32(scale), np.float32(softcap), columns)
    values, i = heads.values[kv_head, begin:end], 0
    while i + GROUP <= depth:
        multiply_tile(GROUP, QUERY_BLOCK, values, i, scores, 0, end - begin, mixed, i, 0)
        i += GROUP
    while i < depth:
        multiply_tile(FEW, QUERY_BLOCK, values, i, scores, 0, end - begin, mixed, i, 0)
        i += FEW
    for q in range(end - start):
        row, inverse = out[start + q][column : column + head_dim], np.float32(1) / columns[1, q]
        for i in range(head_dim):
            row[i] = mixed[i, q] * inverse
