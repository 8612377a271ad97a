"""The prompt: the same layers as `decode`, on all its tokens at once, as products of matrices (NumPy's BLAS).

Only the last position goes through the last feed-forward's successor, the output head, and that is left to `decode`'s
kernels. FP32 weights are multiplied where they lie; quantised ones are expanded tile by tile, so that a tile is still
in the second-level cache when it is used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import entry
from tuibench.engines.fused.decode import Cache
from tuibench.engines.fused.kernels_dot import expand_rows
from tuibench.engines.fused.kernels_vector import exponential, gelu, norm, rotate, silu_gate
from tuibench.engines.fused.matrices import Fp32Matrix, Matrix
from tuibench.engines.fused.model import Model, Shape, Vectors

Tokens = NDArray[np.float32]
"""`[tokens, features]`"""
_TILE_BYTES = 1 << 20


@entry
def norm_tokens(x: Tokens, weight: NDArray[np.float32], bias: NDArray[np.float32], epsilon: float, out: Tokens) -> None:
    """Apply the norm to each token."""
    for t in range(x.shape[0]):
        norm(x[t], weight, bias, epsilon, out[t])


@entry
def place_heads(
    layer: int, qkv: Tokens, shape: Shape, vectors: Vectors, cache: Cache, queries: NDArray[np.float32]
) -> None:
    """Normalise and rotate queries and keys; keys and values go into the cache, queries to `[n_heads, tokens, head_dim]`."""
    head_dim = shape.head_dim
    for t in range(qkv.shape[0]):
        space = np.empty(head_dim, np.float32)
        for index in range(shape.n_heads + shape.n_kv_heads):
            head = qkv[t][index * head_dim : (index + 1) * head_dim]
            is_query = index < shape.n_heads
            norms = vectors.query_norm[layer] if is_query else vectors.key_norm[layer]
            out = queries[index, t] if is_query else cache.keys[layer, index - shape.n_heads, t]
            if norms.size:
                norm(head, norms, norms[:0], shape.epsilon, space)
                rotate(space, cache.cosine[t], cache.sine[t], out)
            else:
                rotate(head, cache.cosine[t], cache.sine[t], out)
        for index in range(shape.n_kv_heads):
            start = (shape.n_heads + shape.n_kv_heads + index) * head_dim
            for i in range(head_dim):
                cache.values[layer, index, t, i] = qkv[t, start + i]


@entry
def softmax_causal(scores: NDArray[np.float32], scale: float, window: int) -> None:
    """Turn `[heads, tokens, tokens]` of products into weights: nobody sees the future, nor further back than `window`."""
    n_heads, n_tokens = scores.shape[0], scores.shape[1]
    for item in range(n_heads * n_tokens):
        t = item % n_tokens
        row = scores[item // n_tokens, t]
        start = max(0, t + 1 - window)
        largest = np.float32(-np.inf)
        for i in range(start, t + 1):
            largest = max(largest, row[i])
        total = np.float32(0)
        for i in range(start, t + 1):
            row[i] = exponential((row[i] - largest) * np.float32(scale))
            total += row[i]
        inverse = np.float32(1) / total
        row[:start] = np.float32(0)
        for i in range(start, t + 1):
            row[i] *= inverse
        row[t + 1 :] = np.float32(0)


@entry
def activate_tokens(x: Tokens, gated: bool, out: Tokens) -> None:  # noqa: FBT001 - compiled
    """Apply the activation to each token."""
    for t in range(x.shape[0]):
        if gated:
            silu_gate(x[t], out[t])
        else:
            gelu(x[t], out[t])


def multiply_tokens(matrix: Matrix, layer: int, x: Tokens, bias: NDArray[np.float32]) -> Tokens:
    """Return `x · Wᵀ + b`."""
    if isinstance(matrix, Fp32Matrix):
        out = x @ matrix.values[layer].T
    else:
        n_outputs, n_inputs = matrix[0].shape[1], x.shape[1]
        out = np.empty((len(x), n_outputs), np.float32)
        rows = max(1, _TILE_BYTES // (4 * n_inputs))
        space = np.empty((rows, n_inputs), np.float32)
        for start in range(0, n_outputs, rows):
            tile = space[: min(rows, n_outputs - start)]
            expand_rows(matrix, layer, start, tile)
            out[:, start : start + len(tile)] = x @ tile.T
    if bias.size:
        out += bias
    return out


def prefill_tokens(model: Model, cache: Cache, x: Tokens) -> NDArray[np.float32]:
    """Run all layers over the embedded prompt, fill the cache, and return the last token's vector before the final norm."""
    shape, vectors, n_tokens = model.shape, model.vectors, len(x)
    normed = np.empty_like(x)
    queries = np.empty((shape.n_heads, n_tokens, shape.head_dim), np.float32)
    hidden = np.empty((n_tokens, shape.intermediate), np.float32)
    for layer in range(vectors.windows.size):
        norm_tokens(x, vectors.attention_norm[layer], vectors.attention_norm_bias[layer], shape.epsilon, normed)
        qkv = multiply_tokens(model.qkv, layer, normed, vectors.qkv_bias[layer])
        place_heads(layer, qkv, shape, vectors, cache, queries)
        attended = _attend(layer, model, cache, queries)
        x += multiply_tokens(model.attention_out, layer, attended, vectors.attention_out_bias[layer])
        norm_tokens(x, vectors.feed_norm[layer], vectors.feed_norm_bias[layer], shape.epsilon, normed)
        activate_tokens(multiply_tokens(model.feed_in, layer, normed, vectors.feed_in_bias[layer]), shape.gated, hidden)
        x += multiply_tokens(model.feed_out, layer, hidden, vectors.feed_out_bias[layer])
    return x[-1]


def _attend(layer: int, model: Model, cache: Cache, queries: NDArray[np.float32]) -> Tokens:
    """Return `softmax(q · kᵀ) · v` of all heads, `[tokens, n_heads · head_dim]`."""
    n_heads, n_tokens, head_dim = queries.shape
    n_kv_heads = model.shape.n_kv_heads
    keys, values = cache.keys[layer, :, :n_tokens], cache.values[layer, :, :n_tokens]
    # The query heads that share a KV head are one tall matrix.
    grouped = queries.reshape(n_kv_heads, -1, head_dim)
    scores = (grouped @ keys.transpose(0, 2, 1)).reshape(n_heads, n_tokens, n_tokens)
    softmax_causal(scores, model.vectors.attention_scales[layer], model.vectors.windows[layer])
    attended = scores.reshape(n_kv_heads, -1, n_tokens) @ values
    return np.ascontiguousarray(attended.reshape(n_heads, n_tokens, head_dim).transpose(1, 0, 2)).reshape(n_tokens, -1)
