"""The graph of a model in one precision: from the cache, or written by onnxruntime-genai's builder first.

`python -m tuibench.engines.runtimes.genai.graphs MODEL_DIR PRECISION PACKAGES` has one written. That needs PyTorch and
transformers, which the runtime's environment lacks: it runs where tuibench is installed, with the environment's
packages behind its own.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from tuibench.engines.base import Progress, UnsupportedModelError
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.runtimes.building import build_in_child, converters_recipe, package_folder, run_build
from tuibench.models.artifacts import CachedArtifact, Recipe, find_artifact, make_artifact
from tuibench.models.home import home_python

if TYPE_CHECKING:
    from onnx import ModelProto

Precision = Literal["fp32", "int4"]
_LAYOUT_VERSION = "1"
"""Raised whenever what is kept besides the builder's files changes."""
_SIZES = "tuibench-sizes.json"
_BYTES_PER_WEIGHT = {"fp32": 4, "int4": 1}
_KEPT_ROPES = ("default", "llama3")
"""What the builder writes into the graph of a Llama; it drops other scalings without a word."""
_KEPT_ROPES_OF = {"phi3": ("longrope",)}
"""What it has code for besides, by model type."""
_TABLE_READERS = {"Gather", "GatherBlockQuantized"}
_PREPARED = {"Transpose", "Reshape"}
"""What stands between a weight and its reader."""


class GraphSizes(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a graph without its library."""

    weight_bytes: int
    """Of the weights that every token reads: all but tables of which it takes a row."""
    products: str
    """The products with weights, with their attributes, as `151 MatMulNBits, …`."""


def prepare_graph(model_dir: Path, precision: Precision, progress: Progress) -> bool:
    """Have a model's graph written unless the cache has it; return whether it had to be.

    Raises:
        UnsupportedModelError: The builder does not know such a model.
        ModelError: The model's files are damaged.
        ArtifactError: It cannot be written.
    """
    decoder = read_decoder(model_dir)
    Checkpoint(model_dir, decoder)
    if reason := unsupported(decoder, precision):
        raise UnsupportedModelError(reason)
    python, variables = home_python()
    packages = str(package_folder("onnxruntime_genai").parent)
    command = [python, "-m", __name__, str(model_dir), precision, packages]
    label = f"onnxruntime-genai's builder writes the graph, {precision}"
    return build_in_child(command, _recipe(model_dir, precision), label, progress, variables)


def unsupported(decoder: Decoder, precision: Precision) -> str | None:
    """Return why no graph is asked for; None if it is.

    In FP32 the first steps tell whether what the builder writes is the model; rounded weights would hide it.
    """
    if decoder.is_part:
        return "onnxruntime-genai's builder was not seen to be right for the text part of a model with others"
    kind = decoder.rope.get("rope_type", "default")
    if precision == "fp32" or kind in (*_KEPT_ROPES, *_KEPT_ROPES_OF.get(decoder.model_type, ())):
        return None
    if decoder.model_type == "llama":
        return f"onnxruntime-genai's builder drops the {kind} scaling of this model's rotary embedding"
    return f"onnxruntime-genai's builder was not seen to keep the {kind} scaling of this model's rotary embedding"


def find_graph(model_dir: Path, precision: Precision) -> tuple[CachedArtifact, GraphSizes]:
    """Return a graph that was prepared, and its sizes."""
    found = find_artifact(_recipe(model_dir, precision), verify=False)
    assert found is not None  # noqa: S101 - the protocol prepares first
    return found, msgspec.json.decode((found.directory / _SIZES).read_bytes(), type=GraphSizes)


def _recipe(model_dir: Path, precision: Precision) -> Recipe:
    return converters_recipe(f"genai-{precision}", "onnxruntime-genai", _LAYOUT_VERSION, model_dir, precision)


def _write(model_dir: Path, precision: Precision, tell: Callable[[int, int], None]) -> None:
    weights = Checkpoint(model_dir, read_decoder(model_dir))

    def build(directory: Path) -> None:
        tell(0, 1)
        with tempfile.TemporaryDirectory() as cache:
            options = ["-i", str(model_dir), "-o", str(directory), "-p", precision, "-e", "cpu", "-c", cache]
            _run_builder(options)
        (directory / _SIZES).write_bytes(msgspec.json.encode(_sizes(directory)))

    needed_bytes = weights.parameters * _BYTES_PER_WEIGHT[precision]
    make_artifact(_recipe(model_dir, precision), model_dir.name, build, needed_bytes=needed_bytes)


def _run_builder(options: list[str]) -> None:
    path = str(package_folder("onnxruntime_genai") / "models" / "builder.py")
    sys.path.append(str(Path(path).parent))  # its modules import each other by their bare names
    arguments, sys.argv = sys.argv, [path, *options]
    try:
        runpy.run_path(path, run_name="__main__")
    except (NotImplementedError, KeyError, AttributeError, ValueError) as error:  # what it meets in models it ignores
        raise UnsupportedModelError(f"onnxruntime-genai's builder refuses it: {error!r}") from error
    finally:
        sys.argv = arguments


def _sizes(directory: Path) -> GraphSizes:
    import onnx

    model = onnx.load(directory / "model.onnx", load_external_data=False)
    return GraphSizes(weight_bytes=_weight_bytes(model), products=_products(model))


def _weight_bytes(model: ModelProto) -> int:
    """Return the bytes of all weights that something else than a look-up reads."""
    origin = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type in _PREPARED}
    readers = [node for node in model.graph.node if node.op_type not in _TABLE_READERS | _PREPARED]
    # The attention takes a row of the rotary tables.
    read = {name for node in readers for name in node.input if not name.endswith(("cos_cache", "sin_cache"))}
    read |= {origin[name] for name in read if name in origin}
    sizes = {
        tensor.name: sum(int(entry.value) for entry in tensor.external_data if entry.key == "length")
        for tensor in model.graph.initializer
    }
    return sum(size for name, size in sizes.items() if name in read)


def _products(model: ModelProto) -> str:
    from collections import Counter

    import onnx

    def named(node: onnx.NodeProto) -> str:
        values = {each.name: each.i for each in node.attribute}
        details = [
            f"{values[name]} {word}" for name, word in (("bits", "bits"), ("block_size", "a block")) if name in values
        ]
        level = [f"accuracy level {values['accuracy_level']}"] if "accuracy_level" in values else []
        return f"{node.op_type} ({', '.join([*details, *level])})" if details else node.op_type

    counts = Counter(named(node) for node in model.graph.node if node.op_type in {"MatMul", "MatMulNBits"})
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def main() -> None:
    """Have the graph written."""
    model_dir, name, packages = sys.argv[1:]
    sys.path.append(packages)
    precision = next(each for each in get_args(Precision) if each == name)
    run_build(lambda tell: _write(Path(model_dir), precision, tell))


if __name__ == "__main__":
    main()
