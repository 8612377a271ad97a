"""Which decoders the kernels compute."""

from __future__ import annotations

from tuibench.engines.decoder.description import Decoder

_FEEDS = {
    *((activation, True) for activation in ("silu", "gelu_tanh")),
    *((activation, False) for activation in ("gelu", "gelu_tanh", "relu", "relu_squared")),
}


def unsupported(decoder: Decoder) -> str | None:
    """Return why the kernels cannot run a decoder, or None."""
    reason = _unknown(decoder)
    return None if reason is None else f"{reason}; the method onnx-fused runs this model"


def _unknown(decoder: Decoder) -> str | None:
    if not decoder.is_uniform:
        return "the layers of this model differ in their sizes or kinds, and the kernels have one"
    attention, feed = decoder.layers[0].attention, decoder.layers[0].feed
    if decoder.norm == "rms" and "final_norm_bias" in decoder.weights:
        return "the kernels have no RMS norm with a bias"
    if attention.value_norm or "layer_scale" in decoder.layers[0].weights:
        return "the kernels have no norms of values and no scale of layers"
    experts = feed.experts
    limited = experts is not None and (experts.slope, experts.offset, experts.limit) != (1.0, 0.0, None)
    if limited and (feed.activation, feed.gated) != ("silu", True):
        return "the kernels have slopes, offsets and limits of experts with a SiLU, and of no other activation"
    if experts is not None and (decoder.parallel or "mlp_down_norm" in decoder.layers[0].weights):
        return "the kernels have experts in layers only that normalise what they read, and nothing else"
    if (feed.activation, feed.gated) not in _FEEDS:
        return f"the kernels have no feed-forward with {feed.activation} {'with' if feed.gated else 'without'} a gate"
    return None
