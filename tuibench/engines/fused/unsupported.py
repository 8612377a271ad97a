"""Which decoders the kernels compute."""

from __future__ import annotations

from dataclasses import replace

from tuibench.engines.decoder.description import Decoder, Layer, ShortConvolution
from tuibench.engines.fused.layers import feed_widths, head_widths

_FEEDS = {
    *((activation, True) for activation in ("silu", "gelu_tanh")),
    *((activation, False) for activation in ("gelu", "gelu_tanh", "relu", "relu_squared")),
}
_MOST_WIDTHS = 2
_OF_KEYS = {"key_norm", "key_norm_bias"}
"""Roles that layers lack which read another's keys."""
_OF_MIXERS = {"qkv", "attention_out", "query_norm", "key_norm", "sinks", "conv_in", "conv_kernel", "conv_out"}
"""Roles that attention has and a convolution lacks, or the other way round; their biases, too."""


def unsupported(decoder: Decoder) -> str | None:
    """Return why the kernels cannot run a decoder, or None."""
    reason = _unlike(decoder) or _unknown(decoder)
    return None if reason is None else f"{reason}; the method onnx-fused runs this model"


def _unlike(decoder: Decoder) -> str | None:
    """Return what the layers differ in, if it is more than the kernels can tell apart."""
    n_types = len({type(layer.mixer) for layer in decoder.layers})
    n_kinds = len({_mixer_kind(layer) for layer in decoder.layers})
    if n_kinds > n_types or len({_rest_kind(layer) for layer in decoder.layers}) > 1:
        return "the layers of this model differ in their kinds, and the kernels have one"
    if decoder.convolving and len(head_widths(decoder)) > 1:
        return "the kernels have convolutions only where all heads are of one width"
    experts = any(layer.feed.experts is not None for layer in decoder.layers)
    if len(head_widths(decoder)) > _MOST_WIDTHS or len(feed_widths(decoder)) > (1 if experts else _MOST_WIDTHS):
        return "the layers of this model differ in their sizes, and the kernels have two, of experts one"
    shares = any(each.keys_of is not None or each.keys_as_values for each in decoder.attentions.values())
    if shares and any(each.qk_norm == "all" for each in decoder.attentions.values()):
        return "the kernels normalise all heads together only where each layer has keys and values of its own"
    return None


def _mixer_kind(layer: Layer) -> tuple[object, ...]:
    """Return all that is the same in all layers with attention, or in all with a convolution."""
    if isinstance(layer.mixer, ShortConvolution):
        return (layer.mixer,)
    attention = replace(
        layer.mixer,
        window=None,
        scale=1.0,
        rotated=False,
        head_dim=2,
        n_kv_heads=1,
        keys_as_values=False,
        keys_of=None,
    )
    return attention, frozenset(layer.weights) - _OF_KEYS


def _rest_kind(layer: Layer) -> tuple[object, ...]:
    """Return all that is the same in all layers, whatever tells them of other positions."""
    roles = frozenset(role for role in layer.weights if role.removesuffix("_bias") not in _OF_MIXERS)
    return replace(layer.feed, width=1), roles


def _unknown(decoder: Decoder) -> str | None:
    feed, roles = decoder.layers[0].feed, decoder.layers[0].weights
    if decoder.norm == "rms" and "final_norm_bias" in decoder.weights:
        return "the kernels have no RMS norm with a bias"
    experts = feed.experts
    limited = experts is not None and (experts.slope, experts.offset, experts.limit) != (1.0, 0.0, None)
    if limited and (feed.activation, feed.gated) != ("silu", True):
        return "the kernels have slopes, offsets and limits of experts with a SiLU, and of no other activation"
    if experts is not None and (decoder.parallel or "mlp_down_norm" in roles):
        return "the kernels have experts in layers only that normalise what they read, and nothing else"
    if (feed.activation, feed.gated) not in _FEEDS:
        return f"the kernels have no feed-forward with {feed.activation} {'with' if feed.gated else 'without'} a gate"
    if decoder.layer_input and feed.activation != "gelu_tanh":
        return f"the kernels tell layers the token again with gelu_tanh, and not with {feed.activation}"
    return None
