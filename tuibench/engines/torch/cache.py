"""What a cache of transformers' own classes holds, and whether it can forget."""

from __future__ import annotations

from typing import Any

from transformers.cache_utils import DummyLayer

from tuibench.core.run.kv_cache import KvCacheSize
from tuibench.engines.torch.preallocated import PreallocatedLayer


def layers_that_keep_all(cache: Any) -> list[str]:  # noqa: ANN401 - transformers' own
    """Return the kinds of layers of a cache that cannot forget single tokens; the whole cache if it has no layers."""
    layers = getattr(cache, "layers", [cache])
    return sorted({type(layer).__name__ for layer in layers if not isinstance(layer, PreallocatedLayer | DummyLayer)})


def held_bytes(cache: Any) -> KvCacheSize | None:  # noqa: ANN401 - transformers' own
    """Return what a cache that holds a few tokens tells about its size at any length; None if it has no list of layers.

    Keys and values are counted as they lie there, so that shared layers, latent attention and unequal heads come out
    right; states of convolutions and recurrences do not grow.
    """
    layers = getattr(cache, "layers", None)
    if not layers:
        return None
    every, sliding, fixed, window = 0, 0, 0, None
    for layer in layers:
        per_token = _bytes_per_token(layer)
        if getattr(layer, "is_sliding", False):
            sliding, window = sliding + per_token, layer.sliding_window
        else:
            every += per_token
        fixed += _state_bytes(layer)
    return KvCacheSize(
        bytes_per_token=every, sliding_bytes_per_token=sliding, window=window if sliding else None, fixed_bytes=fixed
    )


def _bytes_per_token(layer: Any) -> int:  # noqa: ANN401 - transformers' own
    held = [getattr(layer, name, None) for name in ("keys", "values", "indexer_keys")]
    tensors = [each for each in held if each is not None and each.numel()]
    return sum(tensor.nbytes // tensor.shape[-2] for tensor in tensors)


def _state_bytes(layer: Any) -> int:  # noqa: ANN401 - transformers' own
    states = [getattr(layer, name, None) or {} for name in ("conv_states", "recurrent_states")]
    return sum(state.nbytes for each in states for state in each.values() if state is not None)
