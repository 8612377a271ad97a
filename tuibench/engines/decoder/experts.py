"""Llamas whose feed-forward is many, of which each token goes to a few: what each family's router and tensors are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from typing import Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import factor, shortened, size
from tuibench.engines.decoder.description import Decoder, Experts, Feed, Layer, Stored, Weights
from tuibench.engines.decoder.llama import Traits, describe
from tuibench.engines.decoder.relatives import read_granite, read_ministral, read_mistral

Tensors = Callable[[str, int, Feed, Experts], Weights]
"""Makes the roles of a layer's experts from the layer's name and the width of the residual."""
_GPT_OSS_ROPE = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}
"""What transformers takes where a file says nothing."""


def read_qwen3_moe(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Qwen3-MoE: a Qwen3 with experts in all of its layers or in some."""
    reach = settings["sliding_window"] if settings["use_sliding_window"] else None
    window = None if reach is None else size(settings, "sliding_window")
    decoder = describe(settings, (window,) * size(settings, "num_hidden_layers"), Traits(qk_norm="head"))
    step, dense = size(settings, "decoder_sparse_step"), settings["mlp_only_layers"] or []
    if not isinstance(dense, list):
        raise UnsupportedModelError(f"config.json sets mlp_only_layers to {shortened(dense)}; a list was expected")
    routed = {index for index in range(decoder.n_layers) if index not in dense and (index + 1) % step == 0}
    experts = _experts(settings, normalised=bool(settings["norm_topk_prob"]))
    return _with_experts(decoder, experts, _apart("mlp"), width=size(settings, "moe_intermediate_size"), layers=routed)


def read_olmoe(settings: Mapping[str, Any]) -> Decoder:
    """Describe an OLMoE: norms of queries and keys are of all heads together."""
    if (clip := settings["clip_qkv"]) is not None:
        raise UnsupportedModelError(f"config.json sets clip_qkv to {shortened(clip)}, which has no graph")
    decoder = describe(settings, (None,) * size(settings, "num_hidden_layers"), Traits(qk_norm="all"))
    return _with_experts(decoder, _experts(settings, normalised=bool(settings["norm_topk_prob"])), _apart("mlp"))


def read_mixtral(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Mixtral: a Mistral with experts."""
    tensors = _apart("block_sparse_moe", ("w1", "w3", "w2"))
    return _with_experts(read_mistral(settings), _experts(settings, normalised=True), tensors)


def read_granite_moe(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Granite-MoE: a Granite with experts."""
    no_bias = {**settings, "mlp_bias": False}
    return _with_experts(read_granite(no_bias), _experts(settings, normalised=True), _granite)


def read_gpt_oss(settings: Mapping[str, Any]) -> Decoder:
    """Describe a GPT-OSS: attention sinks, every other layer with a window, experts with biases and a limit."""
    given = dict(settings)
    if not (given["rope_parameters"] or given.get("rope_scaling")):
        given["rope_parameters"] = _GPT_OSS_ROPE
    if given["layer_types"] is None:
        kinds = ("sliding_attention", "full_attention")
        given["layer_types"] = [kinds[index % 2] for index in range(size(settings, "num_hidden_layers"))]
    experts = replace(
        _experts(settings, normalised=True),
        slope=factor(settings, "swiglu_alpha"),
        offset=1.0,
        limit=factor(settings, "swiglu_limit"),
    )
    decoder = _with_experts(read_ministral(given), experts, _gpt_oss, bias=True)
    return replace(decoder, layers=tuple(map(_with_sinks, decoder.layers)))


def _with_sinks(layer: Layer) -> Layer:
    sinks = Stored(f"{layer.name}.self_attn.sinks", (layer.attention.n_heads,))
    return replace(layer, mixer=replace(layer.attention, sinks=True), weights={**layer.weights, "sinks": (sinks,)})


def _experts(settings: Mapping[str, Any], *, normalised: bool) -> Experts:
    n_experts = size(settings, "num_local_experts" if "num_local_experts" in settings else "num_experts")
    n_active = size(settings, "num_experts_per_tok")
    if n_active > n_experts:
        raise UnsupportedModelError(f"a token cannot go to {n_active} of {n_experts} experts; see config.json")
    return Experts(n_experts=n_experts, n_active=n_active, normalised=normalised)


def _with_experts(
    decoder: Decoder,
    experts: Experts,
    tensors: Tensors,
    *,
    width: int | None = None,
    bias: bool = False,
    layers: Set[int] | None = None,
) -> Decoder:
    """Return a decoder with experts in place of the feed-forward.

    Args:
        decoder: One without.
        experts: What they are.
        tensors: Where they lie.
        width: Of one; None where it is that of the feed-forward.
        bias: Whether their products have biases.
        layers: Which have them; None where all do.
    """

    def changed(layer: Layer) -> Layer:
        feed = replace(layer.feed, width=width or layer.feed.width, bias=bias, experts=experts)
        kept = {role: parts for role, parts in layer.weights.items() if not role.startswith("mlp_")}
        return replace(layer, feed=feed, weights={**kept, **tensors(layer.name, decoder.hidden, feed, experts)})

    chosen = range(decoder.n_layers) if layers is None else layers
    each = [changed(layer) if index in chosen else layer for index, layer in enumerate(decoder.layers)]
    return replace(decoder, layers=tuple(each))


def _apart(block: str, names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")) -> Tensors:
    """Return the roles of experts whose matrices are tensors of their own: gate, up and down projection."""
    gate, up, down = names

    def tensors(layer: str, hidden: int, feed: Feed, experts: Experts) -> Weights:
        each = [f"{layer}.{block}.experts.{index}" for index in range(experts.n_experts)]
        return {
            "router": (Stored(f"{layer}.{block}.gate.weight", (experts.n_experts, hidden)),),
            "mlp_up": tuple(
                Stored(f"{expert}.{name}.weight", (feed.width, hidden)) for expert in each for name in (gate, up)
            ),
            "mlp_down": tuple(Stored(f"{expert}.{down}.weight", (hidden, feed.width)) for expert in each),
        }

    return tensors


def _granite(layer: str, hidden: int, feed: Feed, experts: Experts) -> Weights:
    """Return the roles of experts whose gates, then up projections, are one tensor for all."""
    block, n, width = f"{layer}.block_sparse_moe", experts.n_experts, feed.width
    up = Stored(f"{block}.input_linear.weight", (n, 2 * width, hidden))
    down = Stored(f"{block}.output_linear.weight", (n, hidden, width))
    halves = (range(width), range(width, 2 * width))
    return {
        "router": (Stored(f"{block}.router.layer.weight", (n, hidden)),),
        "mlp_up": tuple(replace(up, expert=index, rows=half) for index in range(n) for half in halves),
        "mlp_down": tuple(replace(down, expert=index) for index in range(n)),
    }


def _gpt_oss(layer: str, hidden: int, feed: Feed, experts: Experts) -> Weights:
    """Return the roles of experts whose gates and up projections take turns in one tensor, `[inputs, outputs]` each."""
    block, n, width = f"{layer}.mlp", experts.n_experts, feed.width
    up = Stored(f"{block}.experts.gate_up_proj", (n, hidden, 2 * width), transposed=True)
    down = Stored(f"{block}.experts.down_proj", (n, width, hidden), transposed=True)
    halves = (range(0, 2 * width, 2), range(1, 2 * width, 2))
    up_bias = Stored(f"{up.name}_bias", (n, 2 * width))
    down_bias = Stored(f"{down.name}_bias", (n, hidden))
    return {
        "router": (Stored(f"{block}.router.weight", (n, hidden)),),
        "router_bias": (Stored(f"{block}.router.bias", (n,)),),
        "mlp_up": tuple(replace(up, expert=index, rows=half) for index in range(n) for half in halves),
        "mlp_up_bias": tuple(replace(up_bias, expert=index, rows=half) for index in range(n) for half in halves),
        "mlp_down": tuple(replace(down, expert=index) for index in range(n)),
        "mlp_down_bias": tuple(replace(down_bias, expert=index) for index in range(n)),
    }
