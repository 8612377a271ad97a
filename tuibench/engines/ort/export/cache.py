"""How an exported module keeps and reads its KV-cache: in buffers, of which a step writes its own positions only.

transformers' own caches grow by concatenation, a copy of all of it for every token, or have a capacity that is fixed
when the module is traced; its eager attention copies keys and values for each query head that shares them.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.modeling_utils import AttentionInterface

ATTENTION = "tuibench-buffers"
"""Name under which transformers finds the attention that reads such a cache."""


class _BufferLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers ships no types that are followed here
    """Keys `[1, heads, 1, width, capacity]`, as the product with queries reads them; values with the last two swapped.

    The axis of one stands for the query heads that share them. What lies behind the last position is hidden by the
    model's own mask, which is told that all of it is there.
    """

    is_sliding = False

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, columns: torch.Tensor, rows: torch.Tensor) -> None:
        """Take the buffers and, for each new element of keys and of values, the position that it is written to."""
        super().__init__()
        self.keys, self.values = keys, values
        self._columns, self._rows = columns, rows

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make nothing: the buffers were given."""

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_: Any,  # noqa: ANN401 - transformers' own
        **__: Any,  # noqa: ANN401 - transformers' own
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new positions; `scatter` is what becomes an operator that may work in place."""
        self.keys = self.keys.scatter(4, self._columns, key_states.transpose(2, 3)[:, :, None])
        self.values = self.values.scatter(3, self._rows, value_states[:, :, None])
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - new positions lie in the buffer
        """Return how many positions there are to attend to, and the first of them."""
        return self.values.shape[3], 0

    def get_seq_length(self) -> torch.Tensor:
        """Return the position of the first new token."""
        return self._columns[0, 0, 0, 0, 0]

    def get_max_length(self) -> int:
        """Return -1, transformers' word for no fixed capacity."""
        return -1


def buffered_cache(past: list[torch.Tensor], positions: torch.Tensor) -> Cache:
    """Return a cache over `[keys 0, values 0, keys 1, …]` whose next tokens stand at `positions`."""
    return Cache([_layer(*pair, positions) for pair in zip(past[0::2], past[1::2], strict=True)])


def _layer(keys: torch.Tensor, values: torch.Tensor, positions: torch.Tensor) -> _BufferLayer:
    _, n_heads, _, width, _ = keys.shape
    columns = positions.expand(1, n_heads, 1, width, -1)
    rows = positions[:, None].expand(1, n_heads, 1, -1, width)
    return _BufferLayer(keys, values, columns, rows)


def _attend(
    module: torch.nn.Module,  # noqa: ARG001 - transformers' signature
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    scaling: float,
    s_aux: torch.Tensor | None = None,
    softcap: float | None = None,
    **_: Any,  # noqa: ANN401 - transformers' own
) -> tuple[torch.Tensor, None]:
    """Return eager attention, `[1, tokens, heads, width]`; heads that share keys are multiplied with the same ones.

    `s_aux` is transformers' name for the sinks, a logit for each head that takes its share of the softmax.
    """
    groups = query.unflatten(1, (keys.shape[1], -1))
    scores = groups @ keys * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if s_aux is None:
        weights = torch.softmax(scores + attention_mask, dim=-1)
    else:
        sinks = s_aux.unflatten(0, (keys.shape[1], -1))[None, :, :, None, None].expand(-1, -1, -1, query.shape[2], -1)
        weights = torch.softmax(torch.cat([scores + attention_mask, sinks], dim=-1), dim=-1)[..., :-1]
    attended = weights @ values
    return attended.flatten(1, 2).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, _attend)
AttentionMaskInterface.register(ATTENTION, eager_mask)
