"""Which decoders the kernels compute."""

from __future__ import annotations

from tuibench.engines.decoder.description import Decoder

_FEEDS = {("silu", True), ("gelu_tanh", True), ("gelu_tanh", False), ("relu_squared", False)}


def unsupported(decoder: Decoder) -> str | None:
    """Return why the kernels cannot run a decoder, or None."""
    if not decoder.is_uniform:
        return "the layers of this model differ in their sizes, and the kernels have one; the method kv-cache runs it"
    if (decoder.norm == "layer") != ("final_norm_bias" in decoder.weights):
        # They tell the two norms apart by that.
        return f"the kernels have no {decoder.norm} norm with this model's biases; the method kv-cache runs it"
    if decoder.layers[0].feed.experts is not None:
        return "the kernels have no router and no experts; the method onnx-fused runs this model"
    feed = decoder.layers[0].feed
    if (feed.activation, feed.gated) not in _FEEDS:
        gate = "with" if feed.gated else "without"
        return f"the kernels have no feed-forward with {feed.activation} {gate} a gate; the method kv-cache runs it"
    return None
