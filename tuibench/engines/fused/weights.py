"""The packed matrices of a model: made once, a few at a time, kept as files, and read into memory of large pages.

They are read, not mapped: file systems do not grant the pages of 2 MiB with which a token streams fastest. The files'
own pages are the system's and count for no process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import RawIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Decoder, Layer, packed_shape
from tuibench.engines.fused.layers import by_width, role_of
from tuibench.engines.fused.matrices import LANES, Matrix, padded, used_parts
from tuibench.engines.fused.model import INPUT_MATRICES, LAYER_MATRICES, WIDE, read_expert, read_role
from tuibench.engines.fused.packing import PACKINGS, empty_fp32
from tuibench.models.artifacts import CachedArtifact, Recipe, find_artifact, make_artifact
from tuibench.models.references import model_digest

_HEAD, _PROJECTION = "head", "layer_projection"
_NO_LAYERS = (0, 1, 1)
_HEAD_BYTES = 16_000_000
"""About as much of the output head, in FP32, as is packed at a time."""
_SOURCES = (
    "fused/matrices.py",
    "fused/packing.py",
    "fused/model.py",
    "fused/layers.py",
    "fused/weights.py",
    "decoder/*.py",
)
"""What decides the files' contents, beside the model."""

Stacks = dict[str, Matrix]


class _Part(NamedTuple):
    """Some rows of one layer's matrix, packed."""

    stack: str
    layer: int
    first_panel: int
    matrix: Matrix


def packed_recipe(model_dir: Path, precision: str) -> Recipe:
    """Return what a model's packed matrices are kept under.

    Raises:
        ModelError: The model has no readable weights.
    """
    return Recipe(
        method=f"fused-{precision}",
        model_digest=model_digest(model_dir, "config.json"),
        options={},
        versions={"packing": _sources_digest()},
    )


def _sources_digest() -> str:
    engines = Path(__file__).parents[1]
    paths = [path for pattern in _SOURCES for path in sorted(engines.glob(pattern))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def keep_packed(
    decoder: Decoder, checkpoint: Checkpoint, model_dir: Path, precision: str, n_threads: int, progress: Progress
) -> bool:
    """Pack a model's matrices into files, unless they are there; return whether they had to be made.

    Raises:
        ArtifactError: The disk is full.
        OSError: The cache cannot be written.
    """
    recipe = packed_recipe(model_dir, precision)
    if find_artifact(recipe) is not None:
        return False

    def write(directory: Path) -> None:
        for part in _packed(decoder, checkpoint, precision, n_threads, progress):
            for name, content in used_parts(part.matrix, 0):
                with (directory / f"{part.stack}.{name}").open("ab") as file:
                    file.write(content.data)

    needed_bytes = sum(int(np.prod(size)) * _WEIGHT_BITS[precision] // 8 for size in stack_sizes(decoder).values())
    make_artifact(recipe, model_dir.name, write, needed_bytes=needed_bytes)
    return True


_WEIGHT_BITS = {"fp32": 32, "int8": 9, "int4": 6}
"""Rather too many than too few."""


def packed_matrices(
    decoder: Decoder, checkpoint: Checkpoint, model_dir: Path, precision: str, n_threads: int, progress: Progress
) -> Stacks:
    """Return a model's matrices from the files that `keep_packed` made; without them, they are packed here."""
    kept = find_artifact(packed_recipe(model_dir, precision), verify=False)
    stacks = {name: _empty_stack(kept, precision, name, size) for name, size in stack_sizes(decoder).items()}
    if kept is None:
        for part in _packed(decoder, checkpoint, precision, n_threads, progress):
            _put(part, stacks[part.stack])
    else:
        progress("reading packed weights", 0, None)
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(partial(_read_stack, kept), stacks.items()))
    return stacks


def _empty_stack(kept: CachedArtifact | None, precision: str, name: str, size: tuple[int, int, int]) -> Matrix:
    """Return a stack to be filled, in FP32 with no more room than the files need."""
    if kept is None or precision != "fp32" or size[0] == 0:
        return PACKINGS[precision].empty(*size)
    return empty_fp32(*size, int(np.fromfile(kept.directory / f"{name}.n_bytes", np.int64).max()))


def stack_sizes(decoder: Decoder) -> dict[str, tuple[int, int, int]]:
    """Return layers, outputs and inputs of each stack, the largest first."""
    sizes = {_HEAD: (1, decoder.vocabulary, decoder.hidden)}
    for name in LAYER_MATRICES:
        for prefix, layers in zip(("", WIDE), by_width(decoder, name), strict=True):
            sizes[f"{prefix}{name}"] = _stack_size(layers, name, _n_experts(decoder, name))
    for name in INPUT_MATRICES:
        sizes[name] = _stack_size([layer for layer in decoder.layers if name in layer.weights], name, 1)
    projection = decoder.weights.get(_PROJECTION)
    sizes[_PROJECTION] = (1, *packed_shape(projection)) if projection else _NO_LAYERS
    return dict(sorted(sizes.items(), key=lambda item: -int(np.prod(item[1]))))


def _stack_size(layers: list[Layer], name: str, n_experts: int) -> tuple[int, int, int]:
    """Return that of one stack: a layer has as many rows as the one that has most, which may have keys of its own."""
    if not layers:
        return _NO_LAYERS
    shapes = [packed_shape(layer.weights[role_of(layer, name)]) for layer in layers]
    return len(layers) * n_experts, max(n_outputs for n_outputs, _ in shapes) // n_experts, shapes[0][1]


def _n_experts(decoder: Decoder, name: str) -> int:
    """Return how many matrices of a role a layer has: of its feed-forward, one for each expert."""
    return decoder.experts.n_experts if decoder.experts is not None and name.startswith("mlp_") else 1


def _read_stack(kept: CachedArtifact, named: tuple[str, Matrix]) -> None:
    name, stack = named
    if len(stack[0]) == 0:
        return
    files = {field: (kept.directory / f"{name}.{field}").open("rb", buffering=0) for field in stack._fields}
    try:
        for layer in range(len(stack[0])):
            for field, part in used_parts(stack, layer):
                _fill(part, files[field])
    finally:
        for file in files.values():
            file.close()


def _fill(part: NDArray[np.uint8], file: RawIOBase) -> None:
    left = part.data
    while left:
        n_bytes = file.readinto(left)
        if not n_bytes:
            raise EOFError("a file of packed weights has become shorter while it was read")
        left = left[n_bytes:]


def _put(part: _Part, stack: Matrix) -> None:
    """Put packed rows where they belong in a stack."""
    for name, content in used_parts(part.matrix, 0):
        whole = getattr(stack, name)[part.layer : part.layer + 1].reshape(-1).view(np.uint8)
        start = part.first_panel * (getattr(part.matrix, name).nbytes // part.matrix[0].shape[1])
        whole[start : start + content.size] = content


def _packed(
    decoder: Decoder, checkpoint: Checkpoint, precision: str, n_threads: int, progress: Progress
) -> Iterator[_Part]:
    """Yield all matrices packed, the rows and layers of a stack in order; one for each thread is held at a time."""
    tasks = [
        *_head_tasks(decoder, checkpoint, precision),
        *_projection_tasks(decoder, checkpoint, precision),
        *_layer_tasks(decoder, checkpoint, precision),
    ]
    with ThreadPoolExecutor(n_threads) as pool:
        for first in range(0, len(tasks), n_threads):
            progress("packing weights", first, len(tasks))
            yield from pool.map(lambda task: task(), tasks[first : first + n_threads])


def _head_tasks(decoder: Decoder, checkpoint: Checkpoint, precision: str) -> Iterator[Callable[[], _Part]]:
    packing, n_rows = PACKINGS[precision], decoder.vocabulary
    at_once = padded(max(1, _HEAD_BYTES // (4 * decoder.hidden)), LANES) if packing.by_rows else n_rows

    def pack(first: int) -> _Part:
        rows = checkpoint.head_rows(first, min(first + at_once, n_rows))
        return _Part(_HEAD, 0, first // LANES, packing.pack(rows))

    for first in range(0, n_rows, at_once):
        yield partial(pack, first)


def _layer_tasks(decoder: Decoder, checkpoint: Checkpoint, precision: str) -> Iterator[Callable[[], _Part]]:
    sizes = stack_sizes(decoder)

    def pack(stack: str, place: int, layer: Layer, name: str) -> _Part:
        matrix = read_role(checkpoint, layer, name)
        assert matrix is not None  # noqa: S101 - the layer has it
        if more_rows := sizes[stack][1] - len(matrix):
            matrix = np.pad(matrix, ((0, more_rows), (0, 0)))
        return _Part(stack, place, 0, PACKINGS[precision].pack(matrix))

    def pack_expert(name: str, place: int, layer: Layer, expert: int) -> _Part:
        matrix = read_expert(checkpoint, layer, name, expert)
        return _Part(name, place * _n_experts(decoder, name) + expert, 0, PACKINGS[precision].pack(matrix))

    places = {
        (layer.name, name): (f"{prefix}{name}", place)
        for name in (*LAYER_MATRICES, *INPUT_MATRICES)
        for prefix, layers in zip(("", WIDE), by_width(decoder, name), strict=True)
        for place, layer in enumerate(layers)
        if role_of(layer, name) in layer.weights
    }
    for layer in decoder.layers:
        for name in (n for n in (*LAYER_MATRICES, *INPUT_MATRICES) if role_of(layer, n) in layer.weights):
            stack, place = places[layer.name, name]
            n_experts = _n_experts(decoder, name)
            each = [partial(pack_expert, name, place, layer, expert) for expert in range(n_experts)]
            yield from each if n_experts > 1 else [partial(pack, stack, place, layer, name)]


def _projection_tasks(decoder: Decoder, checkpoint: Checkpoint, precision: str) -> Iterator[Callable[[], _Part]]:
    if _PROJECTION in decoder.weights:
        projection = checkpoint.matrix(decoder.weights, _PROJECTION)
        yield lambda: _Part(_PROJECTION, 0, 0, PACKINGS[precision].pack(projection))
