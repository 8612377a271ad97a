"""A model folder through transformers: loaded whole and as it is, or refused with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.in_transformers import text_part_options
from tuibench.engines.forward_errors import FORWARD_ERRORS, one_line, raise_if_out_of_memory
from tuibench.models.folder import read_config, weight_files
from tuibench.models.local import ModelError
from tuibench.models.text_part import has_text_part, text_settings, text_tensor
from tuibench.models.weights import read_header

if TYPE_CHECKING:
    import torch

_LOOKS_AHEAD = {"reformer": "the hash buckets that its attention looks into depend on the whole text"}
"""Models that say they are decoders, and that a few tokens do not give away."""
_WEIGHT_TYPES = frozenset({"F64", "F32", "F16", "BF16"})
_BUFFER_TYPES = frozenset({"BOOL", "U8", "I32", "I64"})
"""What masks and positions are stored in that older versions kept among the weights."""
_NAMED = 3
"""Tensors that a refusal names."""


def load_causal_lm(model_dir: Path, dtype: torch.dtype, **placement: Any) -> Any:  # noqa: ANN401 - transformers' own
    """Return the model in a type, or its text part where it has others; every parameter came from the folder.

    Args:
        model_dir: Its folder.
        dtype: Of all weights.
        placement: What transformers is told besides of where weights go.

    Raises:
        UnsupportedModelError: It is not a decoder that transformers itself can run.
        ModelError: Its configuration and its weights do not belong together.
    """
    from transformers import AutoModelForCausalLM

    raw = read_config(model_dir, model_dir.name)
    options = _checked_options(raw, model_dir)
    _refuse_other_types(model_dir)
    # Without `ignore_mismatched_sizes`, a wrong shape is told in a table on standard error; here the sizes are named.
    # What does not fit is filled with random numbers for the moment, and refused below.
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            model_dir,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
            **placement,
        )
    # Values such as the name of an activation are looked up only when the layers are built.
    except FORWARD_ERRORS as error:
        raise_if_out_of_memory(error)
        raise ModelError(
            f"transformers {version('transformers')} cannot build a model from config.json of {model_dir.name}: "
            f"{one_line(error)}; fetch it again, or use a release that knows it"
        ) from error
    others = _tensors_of_other_parts(model_dir) if has_text_part(raw) else frozenset()
    _refuse_what_does_not_fit(report, others, model_dir.name)
    return model.eval()


def _checked_options(raw: Mapping[str, Any], model_dir: Path) -> dict[str, Any]:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING, AutoConfig

    if text_settings(raw).get("model_type") not in CONFIG_MAPPING:
        raise UnsupportedModelError(_unknown(text_settings(raw)))
    _refuse_quantised(raw)
    try:
        options = text_part_options(raw) or {
            "config": AutoConfig.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
        }
    except (ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise ModelError(
            f"transformers {version('transformers')} cannot read config.json of {model_dir.name}: "
            f"{' '.join(str(error).split())}; fetch it again, or use a release that knows it"
        ) from error
    _refuse_what_does_not_decode(options["config"])
    return options


def _unknown(raw: Mapping[str, Any]) -> str:
    kind = raw.get("model_type")
    if raw.get("auto_map"):
        return f"the model type {kind!r} needs code that comes with the model, which is never run here"
    return f"transformers {version('transformers')} does not know the model type {kind!r}"


def _refuse_quantised(raw: Mapping[str, Any]) -> None:
    for part in (raw, *(value for value in raw.values() if isinstance(value, Mapping))):
        quantised = part.get("quantization_config")
        if isinstance(quantised, Mapping):
            how = quantised.get("quant_method", "in an unnamed way")
            raise UnsupportedModelError(
                f"the weights are quantised already ({how}); use the model's FP32, FP16 or BF16 version"
            )


def _refuse_other_types(model_dir: Path) -> None:
    """Refuse rounded weights without a word about it in the configuration: their codes would be taken for values."""
    for path in weight_files(model_dir, model_dir.name):
        for name, tensor in read_header(path).tensors.items():
            if tensor.dtype not in _WEIGHT_TYPES | _BUFFER_TYPES:
                raise UnsupportedModelError(
                    f"{name} is stored as {tensor.dtype}; use the model's FP32, FP16 or BF16 version"
                )


def _refuse_what_does_not_decode(config: Any) -> None:  # noqa: ANN401 - transformers' own
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    if config.is_encoder_decoder:
        raise UnsupportedModelError(f"{config.model_type} is an encoder-decoder model; only decoders generate here")
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UnsupportedModelError(f"{config.model_type} is not a causal language model in transformers")
    if (why := _LOOKS_AHEAD.get(config.model_type)) is not None:
        raise UnsupportedModelError(f"{config.model_type} is not a decoder: {why}")
    # BERT and its kin say so. Others have no such field, or decode whatever it says; what a pass shows decides there.
    if getattr(config, "is_decoder", True) is False and hasattr(config, "add_cross_attention"):
        raise UnsupportedModelError(
            f"{config.model_type} is an encoder here (is_decoder is false); only decoders generate"
        )


def _tensors_of_other_parts(model_dir: Path) -> frozenset[str]:
    files = map(read_header, weight_files(model_dir, model_dir.name))
    return frozenset(name for file in files for name in file.tensors if text_tensor(name) is None)


def _refuse_what_does_not_fit(report: Mapping[str, Any], others: Set[str], name: str) -> None:
    faults = [
        *_listed("lacks", report["missing_keys"]),
        *_listed("has, but the architecture does not use,", set(report["unexpected_keys"]) - others),
        *(
            f"{key} has shape {list(stored)}, but config.json asks for {list(asked)}"
            for key, stored, asked in sorted(report["mismatched_keys"])[:_NAMED]
        ),
        *(" ".join(str(message).split()) for message in report["error_msgs"][:1]),
    ]
    if faults:
        raise ModelError(
            f"the weights of {name} and its config.json do not belong together: {'; '.join(faults)}; fetch both again"
        )


def _listed(what: str, keys: Iterable[str]) -> list[str]:
    names = sorted(keys)
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"the folder {what} {', '.join(names[:_NAMED])}{more}"]
