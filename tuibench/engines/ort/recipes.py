"""What each method makes out of a checkpoint: options here, the work in the functions that `build` calls."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from tuibench.core.run.spec import Ranges
from tuibench.engines.base import CalibrationError
from tuibench.models.artifacts import Recipe, as_options, versions_of
from tuibench.models.digest import remembered_sha256
from tuibench.models.folder import weight_files

LAYOUT_VERSION = "4"
"""Raised whenever the graphs built here change, so that older files are not taken for new ones."""

CALIBRATION_TEXT = Path(__file__).parent / "data" / "alice29.txt"
"""Two chapters of Lewis Carroll's Alice's Adventures in Wonderland; `SOURCE.md` beside it says where from."""


class Exported(msgspec.Struct, frozen=True, kw_only=True, tag="exported"):
    """The PyTorch module as torch.onnx traces it."""

    opset: int = 20
    timed_lengths: tuple[int, ...] = (128, 1024)
    """Positions at which it is measured what writing into the KV-cache costs."""
    layout: int = 3
    """Raised whenever this export changes; 2 since its KV-cache is written in place, 3 since less is decomposed."""


class Fused(msgspec.Struct, frozen=True, kw_only=True, tag="fused"):
    """FP32 weights in the fused graph."""


class SmoothQuant(msgspec.Struct, frozen=True, kw_only=True, tag="smoothed"):
    """INT8 weights in blocks, activations quantised to INT8 block by block while decoding; outliers evened out before.

    Blocks of 64 take 10 % fewer bytes than blocks of 32. An outlier coarsens twice as many neighbours then; moved into
    the weights, it does not.
    """

    calibration: str = str(CALIBRATION_TEXT)
    """File with the text."""
    n_tokens: int = 512
    """Most tokens of the text that are used."""
    smoothing: float = 0.7
    """How much of the activations' outliers moves into the weights (SmoothQuant's alpha); 0 moves nothing."""
    block: int = 64
    """Largest block; shorter where it does not divide the rows."""


class Static(msgspec.Struct, frozen=True, kw_only=True, tag="static"):
    """INT8 weights, one scale a row; ranges of the activations found beforehand on a text."""

    calibration: str = str(CALIBRATION_TEXT)
    """File with the text."""
    ranges: Ranges = "min-max"
    """How much of the seen range the 256 levels cover."""
    percentile: float = 99.99
    smoothing: float = 0.7
    """How much of the activations' outliers moves into the weights (SmoothQuant's alpha); 0 moves nothing."""
    max_noise: float = 0.001
    """Largest mean square of the rounding error, relative to a typical token's activations, that a product may have;
    products beyond keep ranges found while decoding, block by block."""
    n_tokens: int = 1024
    """Most tokens of the text that are used."""


class Gptq(msgspec.Struct, frozen=True, kw_only=True, tag="compensated"):
    """Weights rounded in blocks so that what they compute on a text changes least (GPTQ)."""

    calibration: str = str(CALIBRATION_TEXT)
    """File with the text."""
    n_tokens: int = 2048
    """Most tokens of the text that are used."""
    smoothing: float = 0.5
    """How much of the activations' outliers moves into the weights (SmoothQuant's alpha); 0 moves nothing."""
    body_bits: Literal[4, 8]
    body_block: int
    body_symmetric: bool = True
    mlp_out_bits: Literal[4, 8]
    """What goes into these products, a product itself, has the outliers: at 4 bits they cost most of the quality."""
    mlp_out_block: int
    head_bits: Literal[4, 8]
    """The head is rounded to the nearest: at 8 bits there is nothing to gain."""
    head_block: int


Options = Exported | Fused | SmoothQuant | Static | Gptq

OPTIONS: Mapping[str, Options] = {
    "onnx": Exported(),
    "onnx-fused": Fused(),
    "int8-dynamic": SmoothQuant(),
    "int8-static": Static(),
    "int4-onnx": Gptq(body_bits=4, body_block=32, mlp_out_bits=8, mlp_out_block=64, head_bits=8, head_block=64),
}


def recipe_for(method: str, options: Options, model_dir: Path) -> Recipe:
    """Return what identifies a method's files for a model.

    Raises:
        ModelError: The model has no readable weights.
        UnsupportedModelError: They are not those that its configuration asks for.
        CalibrationError: The calibration text cannot be read.
    """
    digest = hashlib.sha256(remembered_sha256(weight_files(model_dir, model_dir.name)).encode())
    digest.update((model_dir / "config.json").read_bytes())
    libraries = ["torch", "transformers", "onnxscript"] if isinstance(options, Exported) else ["onnx"]
    values = msgspec.structs.asdict(options)
    if not isinstance(options, Exported):
        values |= _tables(model_dir)
    if isinstance(options, SmoothQuant | Static | Gptq):
        # The text's content decides, not where it lies; the tokenizer decides what the content means.
        text = _calibration_bytes(Path(options.calibration))
        values["calibration"] = hashlib.sha256(text + _read_if_any(model_dir / "tokenizer.json")).hexdigest()
        libraries = ["onnx", "onnxruntime"]
    return Recipe(
        method=method,
        model_digest=digest.hexdigest(),
        options=as_options(values),
        versions={"layout": LAYOUT_VERSION, **versions_of(*libraries)},
    )


def _tables(model_dir: Path) -> dict[str, str]:
    """Return what of the two tables earlier layouts had otherwise, whose files are of no use for such models."""
    from tuibench.engines.decoder.checkpoint import Checkpoint
    from tuibench.engines.decoder.read import read_decoder

    checkpoint = Checkpoint(model_dir, read_decoder(model_dir))
    stored = str(checkpoint.stored_embedding.dtype)
    return {
        **({"head": "stored apart"} if checkpoint.has_untied_head else {}),
        **({"embedding": stored} if stored != "float32" else {}),
    }


def _calibration_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CalibrationError(f"the calibration text {path.name} cannot be read: {error.strerror}") from error


def _read_if_any(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
