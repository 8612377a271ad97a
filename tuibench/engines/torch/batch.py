"""Several sequences of different lengths in one pass of a transformers model.

Their keys and values lie in one buffer a layer, a row each, so that all end in one column: distances between columns
are distances between tokens, for every kind of window. What stands before a row's first column is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from tuibench.engines.torch.preallocated import PreallocatedLayer

if TYPE_CHECKING:
    from tuibench.engines.torch.cached import CachedText

_ROOM = 64
"""Columns beyond the longest sequence: when the last is full, all rows move to the left, once in so many steps."""


@dataclass(slots=True)
class _Columns:
    """Which part of the rows a step reads, shared by all layers."""

    first_row: int = 0
    n_rows: int = 0
    start: int = 0
    end: int = 0
    """The column of the new tokens."""


@dataclass(slots=True)
class _Rows:
    """Keys and values of one layer, `[sequences, kv_heads, columns, head_dim]`, made when their shapes are known."""

    n_rows: int
    n_columns: int
    tensors: list[torch.Tensor] = field(default_factory=list)

    def make(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        if not self.tensors:
            for states in (key_states, value_states):
                _, heads, _, head_dim = states.shape
                self.tensors.append(states.new_zeros(self.n_rows, heads, self.n_columns, head_dim))


class _OneRow(PreallocatedLayer):
    """A row while its sequence is read: a cache of one sequence that begins in the first column."""

    def __init__(self, rows: _Rows, row: int) -> None:
        super().__init__(rows.n_columns)
        self._rows, self._row = rows, row

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        DynamicLayer.lazy_initialization(self, key_states, value_states)
        self._rows.make(key_states, value_states)
        self._key_buffer, self._value_buffer = (each[self._row : self._row + 1] for each in self._rows.tensors)


class _Step(DynamicLayer):  # type: ignore[misc]  # transformers ships no types
    """All rows that take part in a step: each gets one column more."""

    def __init__(self, rows: _Rows, columns: _Columns) -> None:
        super().__init__()
        self._rows, self._columns = rows, columns
        self.is_initialized = True

    def get_seq_length(self) -> int:
        return self._columns.end - self._columns.start

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        at, read = self._columns, []
        for tensor, states in zip(self._rows.tensors, (key_states, value_states), strict=True):
            part = tensor[at.first_row : at.first_row + at.n_rows]
            part[:, :, at.end : at.end + 1] = states
            read.append(part[:, :, at.start : at.end + 1])
        return read[0], read[1]


class _SlidingStep(_Step):
    """The same for a layer whose mask the model makes for its window: the cache keeps all, and the mask hides it."""

    is_sliding = True

    def __init__(self, rows: _Rows, columns: _Columns, sliding_window: int) -> None:
        super().__init__(rows, columns)
        self.sliding_window = sliding_window


class _SlidingRow(_OneRow):
    is_sliding = True

    def __init__(self, rows: _Rows, row: int, sliding_window: int) -> None:
        super().__init__(rows, row)
        self.sliding_window = sliding_window


def why_no_batch(config: Any) -> str | None:  # noqa: ANN401 - transformers' own
    """Return why sequences of a model cannot share a pass here; None where they may."""
    kinds = {type(layer) for layer in DynamicCache(config=config).layers} - {DynamicLayer, DynamicSlidingWindowLayer}
    if kinds:
        return f"its cache has {', '.join(sorted(kind.__name__ for kind in kinds))}, which knows no lengths of its own"
    return None


class TextBatch:
    """Some sequences: each is read by itself, then they go on together."""

    def __init__(self, model: Any, new_text: Callable[[], CachedText], n_rows: int, max_length: int) -> None:  # noqa: ANN401
        """Set out with empty sequences.

        Args:
            model: Of transformers.
            new_text: Makes what reads one sequence, whose cache is replaced.
            n_rows: Sequences.
            max_length: Most tokens of each.
        """
        self._model, self._new_text = model, new_text
        self._config = model.config.get_text_config(decoder=True)
        self._n_columns = max_length + _ROOM
        self._layers = DynamicCache(config=self._config).layers
        self._rows = [_Rows(n_rows, self._n_columns) for _ in self._layers]
        self._columns = _Columns()
        self._texts: dict[int, CachedText] = {}
        self._start, self._end = [0] * n_rows, [0] * n_rows
        self._cache = self._cache_of(lambda rows: (_Step, _SlidingStep, (rows, self._columns)))
        self._tokens = torch.zeros(n_rows, 1, dtype=torch.long)
        self._positions = torch.zeros(n_rows, 1, dtype=torch.long)

    def _cache_of(self, kinds: Callable[[_Rows], tuple[type, type, tuple[Any, ...]]]) -> DynamicCache:
        """Return a cache of the model's own kind with other layers."""
        cache = DynamicCache(config=self._config)
        made = []
        for rows, layer in zip(self._rows, self._layers, strict=True):
            plain, sliding, arguments = kinds(rows)
            is_sliding = type(layer) is DynamicSlidingWindowLayer
            made.append(sliding(*arguments, layer.sliding_window) if is_sliding else plain(*arguments))
        cache.layers = made
        return cache

    def text(self, row: int) -> CachedText:
        """Return what reads a sequence by itself, from its own end on."""
        text = self._texts.get(row)
        if text is None:
            text = self._texts[row] = self._new_text()
            text.cache = self._cache_of(lambda rows: (_OneRow, _SlidingRow, (rows, row)))
        return text

    def was_read(self, row: int, n_tokens: int) -> None:
        """Take note that a sequence has so many tokens more; it stands at the left."""
        self._end[row] += n_tokens

    def step(self, rows: Sequence[int], token_ids: Sequence[int], options: dict[str, Any]) -> Any:  # noqa: ANN401
        """Append a token to some sequences; return the model's output for every row from the first to the last of them.

        Args:
            rows: Rising.
            token_ids: One for each.
            options: Passed on to the model.
        """
        first, last = rows[0], rows[-1]
        span = slice(first, last + 1)
        self._align(range(first, last + 1))
        at = self._columns
        at.first_row, at.n_rows = first, last + 1 - first
        at.start, at.end = min(self._start[row] for row in rows), self._end[first]
        mask = torch.zeros(at.n_rows, at.end + 1 - at.start, dtype=torch.bool)
        for row in range(first, last + 1):  # a row in between that takes no part sees its own past only
            self._positions[row, 0] = self._end[row] - self._start[row]
            mask[row - first, max(0, self._start[row] - at.start) :] = True
        for row, token_id in zip(rows, token_ids, strict=True):
            self._tokens[row, 0] = token_id
        output = self._model(
            input_ids=self._tokens[span],
            position_ids=self._positions[span],
            attention_mask=None if mask.all() else mask.long(),
            cache=self._cache,
            use_cache=True,
            **options,
        )
        for row in rows:
            self._end[row] += 1
        return output

    def _align(self, rows: Sequence[int]) -> None:
        """Have all rows end in one column, which has room behind it."""
        end = max(self._end[row] for row in rows)
        if end >= self._n_columns:
            end = max(self._end[row] - self._start[row] for row in rows)
        for row in rows:
            if (shift := end - self._end[row]) != 0:
                start, stop = self._start[row], self._end[row]
                for layer in self._rows:
                    for tensor in layer.tensors:
                        tensor[row, :, start + shift : stop + shift] = tensor[row, :, start:stop].clone()
                self._start[row], self._end[row] = start + shift, stop + shift
