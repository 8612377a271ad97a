"""Which decoders the kernels compute."""

from __future__ import annotations

from tuibench.engines.decoder.description import Decoder

_FEEDS = {("silu", True), ("gelu_tanh", True), ("gelu_tanh", False), ("relu_squared", False)}


def unsupported(decoder: Decoder) -> str | None:
    """Return why the kernels cannot run a decoder, or None."""
    if not decoder.is_uniform:
        return "the layers of this model differ in their sizes, and the kernels have one; the method kv-cache runs it"
    reason = _unknown(decoder)
    return None if reason is None else f"{reason}; the method onnx-fused runs this model"


def _unknown(decoder: Decoder) -> str | None:
    if decoder.parallel:
        return "the kernels take attention and feed-forward one after the other"
    attention, feed = decoder.layers[0].attention, decoder.layers[0].feed
    if (decoder.norm == "layer") != ("final_norm_bias" in decoder.weights):
        # They tell the two norms apart by that.
        return f"the kernels have no {decoder.norm} norm with this model's biases"
    if attention.sinks:
        return "the kernels have no attention sinks"
    if feed.experts is not None:
        return "the kernels have no router and no experts"
    if (feed.activation, feed.gated) not in _FEEDS:
        return f"the kernels have no feed-forward with {feed.activation} {'with' if feed.gated else 'without'} a gate"
    if "head_bias" in decoder.weights:
        return "the kernels have no output head with a bias"
    return None
