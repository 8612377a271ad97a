"""A KV-cache of transformers' own classes that writes into memory set aside at the start.

`DynamicLayer` concatenates: every step copies all earlier keys and values of every layer. Here a step writes one row.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


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
