"""How llama.cpp's converter changes weights, undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Config = dict[str, Any]
Change = Callable[["Array", Config], "Array"]
"""Takes a tensor and the configuration; raises ValueError where their sizes do not fit."""


def half_rotated_queries(weights: Array, config: Config) -> Array:
    """Undo the order that llama.cpp's rotation of neighbours needs: transformers rotates halves of a head."""
    return _halves(weights, config["num_attention_heads"])


def half_rotated_keys(weights: Array, config: Config) -> Array:
    """Do for keys what `half_rotated_queries` does for queries."""
    return _halves(weights, config["num_key_value_heads"])


def _halves(weights: Array, n_heads: int) -> Array:
    return weights.reshape(n_heads, -1, 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def minus_one(weights: Array, _: Config) -> Array:
    """Return a norm's weights as the model adds one to them."""
    return weights - 1


def transposed(weights: Array, _: Config) -> Array:
    """Return a matrix as GPT-2's Conv1D has it."""
    return weights.T


def grouped_by_key(weights: Array, config: Config) -> Array:
    """Return rows of all queries, all keys and all values as one group a key: its queries, the key, its value."""
    import numpy as np

    n_queries: int = config.get("num_attention_heads") or config["n_head"]
    n_keys: int = config.get("num_kv_heads", n_queries)
    rows = weights.reshape(n_queries + 2 * n_keys, -1, *weights.shape[1:])
    queries, keys, values = np.split(rows, (n_queries, n_queries + n_keys))
    groups = (queries.reshape(n_keys, n_queries // n_keys, *rows.shape[1:]), keys[:, None], values[:, None])
    return np.concatenate(groups, axis=1).reshape(weights.shape)


def log_of_negative(weights: Array, _: Config) -> Array:
    """Return the logarithm that the decay of a state space is computed from."""
    import numpy as np

    return np.log(-weights)


def with_one_channel(weights: Array, _: Config) -> Array:
    """Return a convolution over each channel alone as torch has it."""
    return weights[:, None]


def inputs_first(weights: Array, _: Config) -> Array:
    """Return the matrices of all experts as gpt-oss multiplies with them."""
    return weights.swapaxes(-1, -2)


def stacked_rows(experts: list[Array]) -> Array:
    """Join gate and up matrices of all experts: the rows of one after the rows of the other."""
    import numpy as np

    return np.concatenate(experts, axis=1)


def interleaved(experts: list[Array]) -> Array:
    """Join gate and up columns of all experts in turns."""
    import numpy as np

    return np.stack(experts, axis=-1).reshape(*experts[0].shape[:-1], -1)
