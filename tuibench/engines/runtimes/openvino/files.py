"""The OpenVINO model of a model in one precision: from the cache, or laid out and compressed by a child process first.

`python -m tuibench.engines.runtimes.openvino.files MODEL_DIR PRECISION` makes one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from tuibench.engines.base import Progress, UnsupportedModelError
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.runtimes.building import Tell, build_in_child, run_named_build
from tuibench.engines.runtimes.openvino.graph import build_model, unsupported
from tuibench.models.artifacts import CachedArtifact, Recipe, as_options, find_artifact, make_artifact, versions_of
from tuibench.models.references import model_digest

if TYPE_CHECKING:
    import openvino as ov

Precision = Literal["fp32", "int8", "int4"]
MODEL = "openvino_model.xml"
_LAYOUT_VERSION = "1"
"""Raised whenever what is written changes."""
_GROUP = 128
"""INT4 weights in a block; a power of two below where the inputs of a product are no multiple."""
_BYTES_PER_WEIGHT = {"fp32": 4, "int8": 1, "int4": 1}


def prepare_model(model_dir: Path, precision: Precision, progress: Progress) -> bool:
    """Have a model's files made unless the cache has them; return whether they had to be.

    Raises:
        UnsupportedModelError: No graph is laid out of such a model.
        ModelError: The model's files are damaged.
        ArtifactError: They cannot be made.
    """
    decoder = read_decoder(model_dir)
    Checkpoint(model_dir, decoder)
    if reason := unsupported(decoder):
        raise UnsupportedModelError(reason)
    command = [sys.executable, "-m", __name__, str(model_dir), precision]
    label = f"laying out the OpenVINO model, {precision}"
    return build_in_child(command, _recipe(model_dir, precision), label, progress)


def find_model(model_dir: Path, precision: Precision) -> CachedArtifact:
    """Return the files that were prepared."""
    found = find_artifact(_recipe(model_dir, precision), verify=False)
    assert found is not None  # noqa: S101 - the protocol prepares first
    return found


def libraries(precision: Precision) -> tuple[str, ...]:
    """Return the packages that a model in a precision is made with."""
    return ("openvino",) if precision == "fp32" else ("openvino", "nncf")


def compressed(model: ov.Model, precision: Precision) -> ov.Model:
    """Return a model with its weights as NNCF compresses them, with the settings that optimum-intel has by default."""
    if precision == "fp32":
        return model
    import nncf

    if precision == "int8":
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
    adjust = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)
    return nncf.compress_weights(
        model, mode=nncf.CompressWeightsMode.INT4_ASYM, group_size=_GROUP, ratio=1.0, advanced_parameters=adjust
    )


def _recipe(model_dir: Path, precision: Precision) -> Recipe:
    return Recipe(
        method=f"openvino-{precision}",
        model_digest=model_digest(model_dir, "config.json"),
        options=as_options({"precision": precision}),
        versions={"layout": _LAYOUT_VERSION, **versions_of(*libraries(precision))},
    )


def _write(model_dir: Path, precision: Precision, tell: Tell) -> None:
    decoder = read_decoder(model_dir)
    weights = Checkpoint(model_dir, decoder)

    def build(directory: Path) -> None:
        import openvino

        tell(0, 2)
        model = build_model(decoder, weights)
        tell(1, 2)
        openvino.save_model(compressed(model, precision), directory / MODEL, compress_to_fp16=False)

    needed_bytes = weights.parameters * _BYTES_PER_WEIGHT[precision]
    make_artifact(_recipe(model_dir, precision), model_dir.name, build, needed_bytes=needed_bytes)


if __name__ == "__main__":
    run_named_build(get_args(Precision), _write)
