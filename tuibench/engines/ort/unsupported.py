"""Which decoders have a graph."""

from __future__ import annotations

from tuibench.engines.decoder.description import Decoder

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
    lacks_bias = not decoder.rope and "final_norm_bias" not in decoder.weights
    for feed in dict.fromkeys(layer.feed for layer in decoder.layers):
        if not lacks_bias and (decoder.norm, feed.activation, feed.gated, bool(decoder.rope)) in _LAYOUTS:
            continue
        return (
            f"no graph of fused operators has {decoder.norm} norms{' without biases' if lacks_bias else ''}, "
            f"{feed.activation} "
            f"{'with' if feed.gated else 'without'} a gate and {'rotated' if decoder.rope else 'learned'} positions "
            "at once; the method onnx runs it"
        )
    step = _ROTATED_HEAD_STEP if decoder.rope else _HEAD_STEP
    odd = [each.head_dim for each in decoder.attentions.values() if each.head_dim % step]
    if not odd:
        return None
    return (
        f"ONNX Runtime's attention takes heads whose width is a multiple of {step}, and those of this model are "
        f"{odd[0]} wide; the methods onnx and fused-fp32 run it"
    )


def unsupported_export(decoder: Decoder) -> str | None:
    """Return why a decoder cannot run as PyTorch exports it, or None: its operators take any width."""
    if decoder.convolving:
        return "convolutions keep a state that no exported graph here has; the methods kv-cache and onnx-fused run them"
    if decoder.model_type == "falcon":
        return "transformers' Falcon keeps its KV-cache as no graph can; the methods kv-cache and onnx-fused run it"
    if decoder.model_type == "opt":
        return "torch.onnx cannot export transformers' OPT; the methods kv-cache and onnx-fused run it"
    return None
