"""Which decoders have a graph."""

from __future__ import annotations

from tuibench.engines.decoder.description import Decoder

_UNEVEN = "the layers of this model differ in their sizes, and the KV-cache here has one; the method kv-cache runs it"
_HEAD_STEP, _ROTATED_HEAD_STEP = 8, 16
"""What `GroupQueryAttention` asks of a head's width on a CPU, without and with rotation."""
_FEEDS = (
    *((activation, True) for activation in ("silu", "gelu_tanh")),
    *((activation, False) for activation in ("gelu", "gelu_tanh", "relu", "relu_squared")),
)
_LAYOUTS = {
    *((norm, *feed, True) for norm in ("rms", "layer") for feed in _FEEDS),
    ("layer", "gelu_tanh", False, False),
    ("layer", "relu", False, False),
}
"""Norm, activation, whether gated and whether rotated, of `llama` and `gpt2`."""


def unsupported(decoder: Decoder) -> str | None:
    """Return why a decoder cannot run in a graph of fused operators, or None."""
    if not decoder.is_uniform:
        return _UNEVEN
    feed = decoder.layers[0].feed
    lacks_bias = not decoder.rope and "final_norm_bias" not in decoder.weights
    if lacks_bias or (decoder.norm, feed.activation, feed.gated, bool(decoder.rope)) not in _LAYOUTS:
        return (
            f"no graph of fused operators has {decoder.norm} norms{' without biases' if lacks_bias else ''}, "
            f"{feed.activation} "
            f"{'with' if feed.gated else 'without'} a gate and {'rotated' if decoder.rope else 'learned'} positions "
            "at once; the method onnx runs it"
        )
    step = _ROTATED_HEAD_STEP if decoder.rope else _HEAD_STEP
    if decoder.head_dim % step == 0:
        return None
    return (
        f"ONNX Runtime's attention takes heads whose width is a multiple of {step}, and those of this model are "
        f"{decoder.head_dim} wide; the methods onnx and fused-fp32 run it"
    )


def unsupported_export(decoder: Decoder) -> str | None:
    """Return why a decoder cannot run as PyTorch exports it, or None: its operators take any width."""
    if decoder.model_type == "falcon":
        return "transformers' Falcon keeps its KV-cache as no graph can; the methods kv-cache and onnx-fused run it"
    if decoder.model_type == "opt":
        return "torch.onnx cannot export transformers' OPT; the methods kv-cache and onnx-fused run it"
    if decoder.is_uniform:
        return None
    return _UNEVEN
