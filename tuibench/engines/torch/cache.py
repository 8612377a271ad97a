"""A KV-cache of transformers' own classes that writes into memory set aside at the start.

`DynamicLayer` concatenates: every step copies all earlier keys and values of every layer. Here a step writes one row.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DummyLayer, DynamicLayer

from tuibench.core.run.kv_cache import KvCacheSize


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]  # transformers ships no types
    """Keys and values of one attention layer, in buffers of shape `[batch, kv_heads, max_length, head_dim]`."""

    def __init__(self, max_length: int) -> None:
        super().__init__()
        self._max_length = max_length
        self._length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Set the buffers aside once the shapes are known."""
        super().lazy_initialization(key_states, value_states)
        self._key_buffer = self._buffer_like(key_states)
        self._value_buffer = self._buffer_like(value_states)

    def _buffer_like(self, states: torch.Tensor) -> torch.Tensor:
        batch, heads, _, head_dim = states.shape
        return states.new_empty(batch, heads, self._max_length, head_dim)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the new positions and return all of them, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, end = self._length, self._length + key_states.shape[-2]
        if end > self._max_length:  # a model that puts tokens of its own before the text
            self._grow(end)
        self._key_buffer[:, :, start:end] = key_states
        self._value_buffer[:, :, start:end] = value_states
        self._length = end
        self.keys = self._key_buffer[:, :, :end]
        self.values = self._value_buffer[:, :, :end]
        return self.keys, self.values

    def _grow(self, length: int) -> None:
        old_keys, old_values = self._key_buffer[:, :, : self._length], self._value_buffer[:, :, : self._length]
        self._max_length += length
        self._key_buffer, self._value_buffer = self._buffer_like(old_keys), self._buffer_like(old_values)
        self._key_buffer[:, :, : self._length] = old_keys
        self._value_buffer[:, :, : self._length] = old_values

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last positions; their number is negative, as transformers has it."""
        super().crop(tokens_to_remove)
        if self.is_initialized:
            self._length = self.keys.shape[-2]


def preallocated_cache(config: Any, max_length: int) -> DynamicCache:  # noqa: ANN401 - transformers' own
    """Return an empty cache for `max_length` positions; sliding-window and other special layers stay as they are."""
    cache = DynamicCache(config=config)
    cache.layers = [PreallocatedLayer(max_length) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


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
