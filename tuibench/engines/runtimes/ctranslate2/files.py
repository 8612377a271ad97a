"""The files of a model in one precision: from the cache, or written by CTranslate2's converter first.

`python -m tuibench.engines.runtimes.ctranslate2.files MODEL_DIR PRECISION PACKAGES` has them written. That needs
PyTorch and transformers, which the runtime's environment lacks: it runs where tuibench is installed, with the
environment's packages behind its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from tuibench.engines.base import Progress, UnsupportedModelError
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Attention, Decoder
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.runtimes.building import build_in_child, converters_recipe, package_folder, run_build
from tuibench.models.artifacts import CachedArtifact, Recipe, find_artifact, make_artifact
from tuibench.models.home import home_python

Precision = Literal["fp32", "int8"]
_LAYOUT_VERSION = "1"
"""Raised whenever what is kept besides the converter's files changes."""
_SIZES = "tuibench-sizes.json"
_TYPES: dict[Precision, str] = {"fp32": "float32", "int8": "int8_float32"}
_BYTES_PER_WEIGHT = {"fp32": 4, "int8": 1}
_SEEN_RIGHT = ("gpt2", "llama", "qwen2", "qwen3")
"""Types that were seen to be converted rightly in FP32; with rounded weights nothing would tell."""
_PLAIN_ROPE = "default"
"""Of llama3's, the converter leaves out the length that its wavelengths are measured by: all of them are stretched."""
_TABLE, _POSITIONS = "decoder/embeddings/", "decoder/position_encodings/"


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the files without their library."""

    weight_bytes: int
    """Of the weights that every token reads: all but tables of which it takes a row."""


def compute_type(precision: Precision) -> str:
    """Return what CTranslate2 calls a precision."""
    return _TYPES[precision]


def prepare_files(model_dir: Path, precision: Precision, progress: Progress) -> bool:
    """Have a model's files written unless the cache has them; return whether they had to be.

    Raises:
        UnsupportedModelError: The converter does not know such a model.
        ModelError: The model's files are damaged.
        ArtifactError: They cannot be written.
    """
    decoder = read_decoder(model_dir)
    Checkpoint(model_dir, decoder)
    if reason := unsupported(decoder, precision):
        raise UnsupportedModelError(reason)
    python, variables = home_python()
    command = [python, "-m", __name__, str(model_dir), precision, str(package_folder("ctranslate2").parent)]
    label = f"CTranslate2's converter writes the weights, {precision}"
    return build_in_child(command, _recipe(model_dir, precision), label, progress, variables)


def unsupported(decoder: Decoder, precision: Precision) -> str | None:
    """Return why a model is not converted; None if it is.

    In FP32 the first steps tell whether what the converter writes is the model; rounded weights would hide it.
    """
    if decoder.is_part:
        return "CTranslate2's converter was not seen to be right for the text part of a model with others"
    if precision == "fp32":
        return None
    if decoder.model_type not in _SEEN_RIGHT:
        known = ", ".join(_SEEN_RIGHT)
        seen = f"for the architecture {decoder.model_type!r}; for: {known}"
        return f"CTranslate2's converter was not seen to be right {seen}"
    kind = decoder.rope.get("rope_type", _PLAIN_ROPE)
    if kind != _PLAIN_ROPE:
        return f"CTranslate2's converter was not seen to be right for a {kind} rotary embedding"
    if any(isinstance(layer.mixer, Attention) and layer.mixer.window is not None for layer in decoder.layers):
        return "CTranslate2's converter drops the attention window of this model"
    return None


def find_files(model_dir: Path, precision: Precision) -> tuple[CachedArtifact, Sizes]:
    """Return files that were prepared, and their sizes."""
    found = find_artifact(_recipe(model_dir, precision), verify=False)
    assert found is not None  # noqa: S101 - the protocol prepares first
    return found, msgspec.json.decode((found.directory / _SIZES).read_bytes(), type=Sizes)


def _recipe(model_dir: Path, precision: Precision) -> Recipe:
    return converters_recipe(f"ctranslate2-{precision}", "ctranslate2", _LAYOUT_VERSION, model_dir, precision)


def _write(model_dir: Path, precision: Precision, tell: Callable[[int, int], None]) -> None:
    decoder = read_decoder(model_dir)
    weights = Checkpoint(model_dir, decoder)

    def build(directory: Path) -> None:
        tell(0, 1)
        sizes = _convert(model_dir, decoder.vocabulary, precision, directory)
        (directory / _SIZES).write_bytes(msgspec.json.encode(sizes))

    needed_bytes = weights.parameters * _BYTES_PER_WEIGHT[precision]
    make_artifact(_recipe(model_dir, precision), model_dir.name, build, needed_bytes=needed_bytes)


class _Numbers:
    """Stands for the tokenizer: tokens come and go as numbers, written out where a name is asked for."""

    bos_token = eos_token = unk_token = "0"  # noqa: S105 - no token of ours is one of those to CTranslate2

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary

    def get_vocab(self) -> dict[str, int]:
        """Return the names."""
        return {str(token_id): token_id for token_id in range(self._vocabulary)}


def _convert(model_dir: Path, vocabulary: int, precision: Precision, directory: Path) -> Sizes:
    from ctranslate2.converters import TransformersConverter

    specs: list[Any] = []

    class Converter(TransformersConverter):  # type: ignore[misc] # of a package without types
        def load_tokenizer(self, *_: object, **__: object) -> _Numbers:
            return _Numbers(vocabulary)

        def _load(self) -> Any:  # noqa: ANN401 - as above
            specs.append(super()._load())
            return specs[-1]

    try:
        Converter(str(model_dir)).convert(str(directory), quantization=_TYPES[precision], force=True)
    except (NotImplementedError, ValueError, AttributeError, KeyError) as error:  # what it meets in models it ignores
        raise UnsupportedModelError(f"CTranslate2's converter refuses it: {error!r}") from error
    return Sizes(weight_bytes=_weight_bytes(specs[0].variables()))


def _weight_bytes(variables: dict[str, Any]) -> int:
    """Return the bytes that a token reads; a name in place of an array is that of one that is stored already."""
    aliases = {name: value for name, value in variables.items() if isinstance(value, str)}
    tied = any(_TABLE in name + other for name, other in aliases.items())
    tables = (_POSITIONS,) if tied else (_POSITIONS, _TABLE)
    return sum(
        value.num_bytes() for name, value in variables.items() if name not in aliases and not name.startswith(tables)
    )


def main() -> None:
    """Have the files written."""
    model_dir, name, packages = sys.argv[1:]
    sys.path.append(packages)
    precision = next(each for each in get_args(Precision) if each == name)
    run_build(lambda tell: _write(Path(model_dir), precision, tell))


if __name__ == "__main__":
    main()
