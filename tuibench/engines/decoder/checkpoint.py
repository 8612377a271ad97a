"""Tensors of a safetensors folder as FP32 arrays, mapped into memory and read only when asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence, Set
from copy import copy
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.description import Decoder, Stored, Weights
from tuibench.models.folder import weight_files
from tuibench.models.text_part import text_tensor
from tuibench.models.weights import read_header

Matrix = NDArray[np.float32]
_DTYPES: dict[str, np.dtype[np.generic]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_ROWS_AT_ONCE = 4096


class _Place(NamedTuple):
    """Where a tensor lies, and as what."""

    path: Path
    start: int
    dtype: str
    shape: tuple[int, ...]

    def rows(self, indices: Sequence[int]) -> NDArray[np.generic]:
        """Return rows of a table, read from the file; of a mapped one the system would map their neighbours as well."""
        dtype = _DTYPES[self.dtype]
        found = np.empty((len(indices), *self.shape[1:]), dtype)
        row_bytes = found.nbytes // max(1, len(indices))
        with self.path.open("rb", buffering=0) as file:
            for index, row in zip(indices, found.view(np.uint8), strict=True):
                if os.preadv(file.fileno(), [row], self.start + index * row_bytes) != row_bytes:
                    raise EOFError(f"{self.path.name} has become shorter since it was opened")
        return found

    def mapped(self) -> NDArray[np.generic]:
        """Return the tensor as it is stored; only pages that are used take memory."""
        return np.memmap(self.path, dtype=_DTYPES[self.dtype], mode="r", offset=self.start, shape=self.shape)


class Checkpoint:
    """The weights of one model, which are what its configuration says; names are without the base model's prefix."""

    def __init__(self, model_dir: Path, decoder: Decoder) -> None:
        """Read the headers, and compare them with the description.

        Raises:
            ModelError: A file is missing or damaged.
            UnsupportedModelError: A tensor is missing, left over, of another shape, or quantised.
        """
        self._tied = decoder.tied_head
        self._embedding, self._head = _table_names(decoder)
        self._changes: Mapping[Stored, Callable[[Matrix], Matrix]] = {}
        self._places = _places(model_dir, decoder)
        _check(self._places, decoder, model_dir.name)

    @property
    def parameters(self) -> int:
        """Number of weights; a head that is the embedding counts once."""
        twice = {self._head} if self._embedding in self._places and self._head_name != self._head else set()
        return sum(math.prod(place.shape) for name, place in self._places.items() if name not in twice)

    @property
    def embedding(self) -> Matrix:
        """The table of the tokens' embeddings, `[vocabulary, hidden]`."""
        return np.asarray(self._embedding_place.mapped(), dtype=np.float32)

    @property
    def stored_embedding(self) -> NDArray[np.generic]:
        """The same table in the type it is stored in: mapped, so that it takes no memory until rows are used."""
        return self._embedding_place.mapped()

    @property
    def head(self) -> Matrix:
        """The output head, `[vocabulary, hidden]`."""
        return np.asarray(self._places[self._head_name].mapped(), dtype=np.float32)

    def embedding_rows(self, token_ids: Sequence[int]) -> Matrix:
        """Return rows of the embedding, `[tokens, hidden]`; the others are not touched.

        Raises:
            IndexError: A token is not in the vocabulary.
        """
        return self._rows_of(self._embedding_place, token_ids)

    def rows(self, table: Stored, token_ids: Sequence[int]) -> Matrix:
        """Return rows of another table with a row a token, likewise.

        Raises:
            IndexError: A token is not in the vocabulary.
        """
        return self._rows_of(self._places[table.name], token_ids)

    @staticmethod
    def _rows_of(place: _Place, token_ids: Sequence[int]) -> Matrix:
        if not all(0 <= token_id < place.shape[0] for token_id in token_ids):
            raise IndexError(f"a token is not among the {place.shape[0]} of the vocabulary")
        return np.asarray(place.rows(token_ids), dtype=np.float32)

    def head_rows(self, first: int, last: int) -> Matrix:
        """Return the rows `first ≤ r < last` of the output head; the others are not touched."""
        return np.asarray(self._places[self._head_name].mapped()[first:last], dtype=np.float32)

    @property
    def has_untied_head(self) -> bool:
        """Whether the file holds a head other than the embedding, against what the configuration says."""
        return self._tied and self._head_name == self._head and self._embedding in self._places

    @property
    def _embedding_place(self) -> _Place:
        return self._places[self._embedding if self._embedding in self._places else self._head]

    @cached_property
    def _head_name(self) -> str:
        """As transformers' `tie_weights`: tied unless both are stored and differ; of one alone, both are that one."""
        if self._head not in self._places:
            return self._embedding
        if not self._tied or self._embedding not in self._places:
            return self._head
        return self._embedding if _equal(self._places[self._embedding], self._places[self._head]) else self._head

    def changed(self, changes: Mapping[Stored, Callable[[Matrix], Matrix]]) -> Checkpoint:
        """Return a checkpoint that gives some of its tensors changed; a change is given a row an output."""
        other = copy(self)
        other._changes = changes  # noqa: SLF001 - the same class
        return other

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor in the files; None where they have none of that name."""
        return self._places[name].shape if name in self._places else None

    def stored(self, name: str) -> Matrix:
        """Return a tensor as the files have it, whatever reads it."""
        return np.asarray(self._places[name].mapped(), dtype=np.float32)

    def parts(self, weights: Weights, role: str) -> list[Matrix]:
        """Return the tensors of a role, each with a row an output; none where the model lacks it."""
        return [self.part(stored) for stored in weights.get(role, ())]

    def get(self, weights: Weights, role: str) -> Matrix | None:
        """Return the tensors of a role as one, or None where the model lacks it."""
        parts = self.parts(weights, role)
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def matrix(self, weights: Weights, role: str) -> Matrix:
        """Return the tensors of a role as one.

        Raises:
            KeyError: The model lacks it.
        """
        found = self.get(weights, role)
        if found is None:
            raise KeyError(role)
        return found

    def part(self, stored: Stored) -> Matrix:
        """Return one tensor, a row an output."""
        place = self._places[stored.name].mapped()
        place = place if stored.expert is None else place[stored.expert]
        rows = slice(None) if stored.rows is None else slice(stored.rows.start, stored.rows.stop, stored.rows.step)
        tensor: Matrix = np.asarray((place.T if stored.transposed else place)[rows], dtype=np.float32)
        if stored.head_order:
            heads = tensor.reshape(-1, len(stored.head_order), *tensor.shape[1:])
            tensor = heads[:, list(stored.head_order)].reshape(tensor.shape)
        tensor = tensor if stored.factor == 1 else tensor * np.float32(stored.factor)
        tensor = tensor if stored.offset == 0 else tensor + np.float32(stored.offset)
        change = self._changes.get(stored)
        return tensor if change is None else change(tensor)


def _table_names(decoder: Decoder) -> tuple[str, str]:
    (embedding,), (head,) = decoder.weights["embedding"], decoder.weights["head"]
    return embedding.name, head.name


def _places(model_dir: Path, decoder: Decoder) -> dict[str, _Place]:
    """Return where each tensor lies that a model could read.

    Raises:
        UnsupportedModelError: Two are the same weight.
    """
    places: dict[str, _Place] = {}
    stored: dict[str, str] = {}
    for path in weight_files(model_dir, model_dir.name):
        file = read_header(path)
        for full_name, tensor in file.tensors.items():
            own_name = text_tensor(full_name) if decoder.is_part else full_name
            if own_name is None:
                continue
            # `GPT2Model` saves "h.0.…", `GPT2LMHeadModel` "transformer.h.0.…".
            name = own_name.removeprefix(decoder.prefix)
            if decoder.buffers.search(name) is not None:
                continue
            if name in places:
                raise UnsupportedModelError(
                    f"the weights of {model_dir.name} hold {name} twice, as {stored[name]} in {places[name].path.name} "
                    f"and as {full_name} in {path.name}; fetch the model again"
                )
            places[name] = _Place(path, file.start(full_name), tensor.dtype, tensor.shape)
            stored[name] = full_name
    return places


def _check(places: Mapping[str, _Place], decoder: Decoder, model: str) -> None:
    expected, tables = decoder.stored_shapes(), set(_table_names(decoder))
    for name, place in places.items():
        if place.dtype not in _DTYPES:
            raise UnsupportedModelError(
                f"{name} is stored as {place.dtype}; use the model's FP32, FP16 or BF16 version"
            )
    missing = expected.keys() - places.keys()
    if decoder.tied_head and not tables <= missing:
        missing -= tables  # one of the two is the other as well
    if missing:
        named = _named(missing, expected)
        raise UnsupportedModelError(
            f"the checkpoint {model} lacks {named}, which its config.json asks for; fetch it again"
        )
    left_over = places.keys() - expected.keys()
    if left_over:
        named = _named(left_over, {name: places[name].shape for name in left_over})
        raise UnsupportedModelError(
            f"the checkpoint {model} holds {named}, which a {decoder.model_type} of its config.json does not use; "
            "it is of another model, or config.json is"
        )
    for name, place in places.items():
        if place.shape != expected[name]:
            raise UnsupportedModelError(
                f"{name} of {model} has the shape {list(place.shape)}, and its config.json makes that "
                f"{list(expected[name])}; one of the two is of another model"
            )


def _named(names: Set[str], shapes: Mapping[str, tuple[int, ...]]) -> str:
    first, others = min(names), len(names) - 1
    return f"{first} {list(shapes[first])}{f' and {others} more' if others else ''}"


def _equal(first: _Place, second: _Place) -> bool:
    return _equal_files(first, second, first.path.stat().st_mtime_ns, second.path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _equal_files(first: _Place, second: _Place, *_times_ns: int) -> bool:
    """Return whether two tables hold the same numbers; several parts of one start ask for the same two."""
    ours, theirs = first.mapped(), second.mapped()
    return all(
        np.array_equal(
            ours[start : start + _ROWS_AT_ONCE].astype(np.float32),
            theirs[start : start + _ROWS_AT_ONCE].astype(np.float32),
        )
        for start in range(0, first.shape[0], _ROWS_AT_ONCE)
    )
