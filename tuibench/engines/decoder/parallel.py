"""Decoders whose attention and feed-forward read the residual side by side, and others of their time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import check_activation, factor, shortened, size
from tuibench.engines.decoder.description import Activation, Attention, Decoder, Feed, Layer, Stored
from tuibench.engines.decoder.llama import Traits, describe
from tuibench.engines.decoder.rope import check_rope, head_order, rotated_width

_BUFFERS = re.compile(r"\.(attn|attention)\.(masked_)?bias$|rotary_emb\.inv_freq|attn\.embed_positions$")
Parts = tuple[Stored, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """Names and sizes of one model; those of a layer's tensors follow the layer's own."""

    model_type: str
    prefix: str
    layers: str
    """What the names of layers begin with."""
    hidden: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    feed: Feed
    qkv: str | tuple[str, str, str]
    """One tensor, or those of queries, keys and values."""
    groups: int = 1
    """Parts of the one tensor, each with queries, keys and values of its own."""
    attention_out: str
    attention_bias: bool
    mlp: tuple[str, str]
    norms: tuple[str, str]
    """Of what attention and of what the feed-forward reads; one name where it is one norm."""
    parallel: bool

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        if self.hidden % self.n_heads:
            raise UnsupportedModelError(
                f"{self.n_heads} attention heads cannot share a width of {self.hidden}; see config.json"
            )
        return self.hidden // self.n_heads


def read_gpt_neox(settings: Mapping[str, Any]) -> Decoder:
    """Describe a GPT-NeoX, Pythia among them: queries, keys and values of a head lie together."""
    check_activation(settings["hidden_act"], "gelu")
    n_heads, n_layers = size(settings, "num_attention_heads"), size(settings, "num_hidden_layers")
    family = _Family(
        model_type="gpt_neox",
        prefix="gpt_neox.",
        layers="layers",
        hidden=size(settings, "hidden_size"),
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        feed=_feed(size(settings, "intermediate_size"), "gelu", bias=True),
        qkv="attention.query_key_value",
        groups=n_heads,
        attention_out="attention.dense",
        attention_bias=bool(settings["attention_bias"]),
        mlp=("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
        norms=("input_layernorm", "post_attention_layernorm"),
        parallel=bool(settings["use_parallel_residual"]),
    )
    theta, part = settings.get("rotary_emb_base", 10_000.0), settings.get("rotary_pct", 0.25)
    names = {"embedding": "embed_in", "final_norm": "final_layer_norm", "head": "embed_out"}
    return _decoder(family, {"rope_theta": theta, "partial_rotary_factor": part, **settings}, names, "layer_norm_eps")


def read_gptj(settings: Mapping[str, Any]) -> Decoder:
    """Describe a GPT-J: it rotates neighbours, and its head has a bias."""
    check_activation(settings["activation_function"], "gelu_tanh")
    hidden, n_heads = size(settings, "n_embd"), size(settings, "n_head")
    family = _Family(
        model_type="gptj",
        prefix="transformer.",
        layers="h",
        hidden=hidden,
        n_layers=size(settings, "n_layer"),
        n_heads=n_heads,
        n_kv_heads=n_heads,
        feed=_feed(4 * hidden if settings["n_inner"] is None else size(settings, "n_inner"), "gelu_tanh", bias=True),
        qkv=("attn.q_proj", "attn.k_proj", "attn.v_proj"),
        attention_out="attn.out_proj",
        attention_bias=False,
        mlp=("mlp.fc_in", "mlp.fc_out"),
        norms=("ln_1", "ln_1"),
        parallel=True,
    )
    rotation = {
        "max_position_embeddings": settings["n_positions"],
        "partial_rotary_factor": size(settings, "rotary_dim") / family.head_dim,
    }
    names = {"embedding": "wte", "final_norm": "ln_f", "head": "lm_head"}
    return _with_head_bias(_decoder(family, {**settings, **rotation}, names, "layer_norm_epsilon", neighbours=True))


def read_phi(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Phi-1, 1.5 or 2: its head has a bias."""
    check_activation(settings["hidden_act"], "gelu_tanh")
    if settings["qk_layernorm"]:
        raise UnsupportedModelError("config.json sets qk_layernorm to True, which has no graph")
    n_heads = size(settings, "num_attention_heads")
    family = _Family(
        model_type="phi",
        prefix="model.",
        layers="layers",
        hidden=size(settings, "hidden_size"),
        n_layers=size(settings, "num_hidden_layers"),
        n_heads=n_heads,
        n_kv_heads=n_heads if settings["num_key_value_heads"] is None else size(settings, "num_key_value_heads"),
        feed=_feed(size(settings, "intermediate_size"), "gelu_tanh", bias=True),
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_out="self_attn.dense",
        attention_bias=True,
        mlp=("mlp.fc1", "mlp.fc2"),
        norms=("input_layernorm", "input_layernorm"),
        parallel=True,
    )
    names = {"embedding": "embed_tokens", "final_norm": "final_layernorm", "head": "lm_head"}
    given = {"partial_rotary_factor": 0.5, **settings}
    return _with_head_bias(_decoder(family, given, names, "layer_norm_eps"))


def read_falcon(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Falcon: heads of queries in groups, each with a key and a value."""
    check_activation(settings["activation"], "gelu")
    if settings["alibi"]:
        raise UnsupportedModelError("config.json sets alibi to True, which has no graph")
    hidden, n_heads = size(settings, "hidden_size"), size(settings, "num_attention_heads")
    new, parallel = bool(settings["new_decoder_architecture"]), bool(settings["parallel_attn"])
    n_kv_heads = n_heads if settings["num_kv_heads"] is None else size(settings, "num_kv_heads")
    groups = n_kv_heads if new else 1 if settings["multi_query"] else n_heads
    n_norms = settings["num_ln_in_parallel_attn"] or (2 if new else 1)
    norms = ("ln_attn", "ln_mlp") if n_norms == 2 and new else ("input_layernorm", "input_layernorm")  # noqa: PLR2004
    family = _Family(
        model_type="falcon",
        prefix="transformer.",
        layers="h",
        hidden=hidden,
        n_layers=size(settings, "num_hidden_layers"),
        n_heads=n_heads,
        n_kv_heads=groups,
        feed=_feed(
            4 * hidden if settings["ffn_hidden_size"] is None else size(settings, "ffn_hidden_size"),
            "gelu",
            bias=bool(settings["bias"]),
        ),
        qkv="self_attention.query_key_value",
        groups=groups,
        attention_out="self_attention.dense",
        attention_bias=bool(settings["bias"]),
        mlp=("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
        norms=norms if parallel else ("input_layernorm", "post_attention_layernorm"),
        parallel=parallel,
    )
    if new and not parallel:
        raise UnsupportedModelError("a Falcon of the new architecture without parallel attention has no graph")
    names = {"embedding": "word_embeddings", "final_norm": "ln_f", "head": "lm_head"}
    return _decoder(family, settings, names, "layer_norm_epsilon")


def read_opt(settings: Mapping[str, Any]) -> Decoder:
    """Describe an OPT: positions are learned, the table's first two rows mean none."""
    check_activation(settings["activation_function"], "relu")
    hidden, n_heads = size(settings, "hidden_size"), size(settings, "num_attention_heads")
    meant = {"do_layer_norm_before": True, "enable_bias": True, "layer_norm_elementwise_affine": True}
    for key, value in {**meant, "_remove_final_layer_norm": False, "word_embed_proj_dim": hidden}.items():
        if settings[key] not in (value, None):
            raise UnsupportedModelError(f"config.json sets {key} to {shortened(settings[key])}, which has no graph")
    family = _Family(
        model_type="opt",
        prefix="model.decoder.",
        layers="layers",
        hidden=hidden,
        n_layers=size(settings, "num_hidden_layers"),
        n_heads=n_heads,
        n_kv_heads=n_heads,
        feed=_feed(size(settings, "ffn_dim"), "relu", bias=True),
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_out="self_attn.out_proj",
        attention_bias=True,
        mlp=("fc1", "fc2"),
        norms=("self_attn_layer_norm", "final_layer_norm"),
        parallel=False,
    )
    names = {"embedding": "embed_tokens", "final_norm": "final_layer_norm", "head": "lm_head"}
    decoder = _decoder(family, {**settings, "layer_norm_eps": 1e-5}, names, "layer_norm_eps", rotates=False)
    window = size(settings, "max_position_embeddings")
    positions = Stored("embed_positions.weight", (window + 2, hidden), rows=range(2, window + 2))
    return replace(decoder, weights={**decoder.weights, "positions": (positions,)})


def read_cohere2(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Cohere 2 (Command R7B): one norm without a bias; layers that see all do not rotate."""
    n_layers, kinds = size(settings, "num_hidden_layers"), settings["layer_types"]
    if kinds is None:
        pattern = settings.get("sliding_window_pattern", 4)
        kinds = ["sliding_attention" if (index + 1) % pattern else "full_attention" for index in range(n_layers)]
    if (
        not isinstance(kinds, list)
        or len(kinds) != n_layers
        or any(kind not in ("sliding_attention", "full_attention") for kind in kinds)
    ):
        raise UnsupportedModelError(f"config.json sets layer_types to {shortened(kinds)} for {n_layers} layers")
    windows = tuple(size(settings, "sliding_window") if kind == "sliding_attention" else None for kind in kinds)
    unrotated = frozenset(index for index, window in enumerate(windows) if window is None)
    named = {**settings, "rms_norm_eps": settings["layer_norm_eps"]}
    decoder = describe(named, windows, Traits(norm="layer", rotates_neighbours=True, unrotated=unrotated))
    final_norm = tuple(
        replace(stored, factor=factor(settings, "logit_scale")) for stored in decoder.weights["final_norm"]
    )
    layers = tuple(replace(layer, weights=_one_norm(layer)) for layer in decoder.layers)
    weights = {role: parts for role, parts in decoder.weights.items() if role != "final_norm_bias"}
    return replace(decoder, parallel=True, layers=layers, weights={**weights, "final_norm": final_norm})


def _one_norm(layer: Layer) -> dict[str, Parts]:
    left_out = ("attention_norm_bias", "feed_norm_bias")
    kept = {role: parts for role, parts in layer.weights.items() if role not in left_out}
    return {**kept, "feed_norm": kept["attention_norm"]}


def _feed(width: int, activation: Activation, *, bias: bool) -> Feed:
    return Feed(width=width, activation=activation, gated=False, bias=bias)


def _decoder(
    family: _Family,
    settings: Mapping[str, Any],
    names: Mapping[str, str],
    epsilon: str,
    *,
    rotates: bool = True,
    neighbours: bool = False,
) -> Decoder:
    rope = check_rope(settings, may_be_partial=True) if rotates else {}
    head_dim = family.head_dim
    order = head_order(rotated_width(rope, head_dim), head_dim, neighbours=neighbours) if rotates else ()
    attention = Attention(
        n_heads=family.n_heads,
        n_kv_heads=family.n_kv_heads,
        head_dim=head_dim,
        qkv_bias=family.attention_bias,
        out_bias=family.attention_bias,
        qk_norm=None,
        rotated=rotates,
        window=None,
        scale=head_dim**-0.5,
    )
    each = [f"{family.layers}.{index}" for index in range(family.n_layers)]
    table = (size(settings, "vocab_size"), family.hidden)
    return Decoder(
        model_type=family.model_type,
        vocabulary=table[0],
        hidden=family.hidden,
        norm="layer",
        norm_epsilon=settings[epsilon],
        parallel=family.parallel,
        layers=tuple(
            Layer(name=name, mixer=attention, feed=family.feed, weights=_layer(name, family, attention, order))
            for name in each
        ),
        weights={
            "embedding": (Stored(f"{names['embedding']}.weight", table),),
            **_vectors("final_norm", names["final_norm"], family.hidden),
            "head": (Stored(f"{names['head']}.weight", table),),
        },
        prefix=family.prefix,
        buffers=_BUFFERS,
        tied_head=bool(settings["tie_word_embeddings"]),
        context_window=size(settings, "max_position_embeddings"),
        rope=rope,
    )


def _with_head_bias(decoder: Decoder) -> Decoder:
    (head,) = decoder.weights["head"]
    bias = Stored(f"{head.name.removesuffix('weight')}bias", (decoder.vocabulary,))
    return replace(decoder, weights={**decoder.weights, "head_bias": (bias,)})


def _layer(name: str, family: _Family, attention: Attention, order: tuple[int, ...]) -> dict[str, Parts]:
    feed, hidden = family.feed, family.hidden
    up, down = family.mlp
    attention_norm, feed_norm = family.norms
    weights = _vectors("attention_norm", f"{name}.{attention_norm}", hidden)
    weights |= _vectors("feed_norm", f"{name}.{feed_norm}", hidden)
    outputs = {
        "qkv": (_qkv(name, family, attention, order), hidden, attention.qkv_bias),
        "attention_out": ((Stored(f"{name}.{family.attention_out}", (hidden,)),), hidden, attention.out_bias),
        "mlp_up": ((Stored(f"{name}.{up}", (feed.width,)),), hidden, feed.bias),
        "mlp_down": ((Stored(f"{name}.{down}", (hidden,)),), feed.width, feed.bias),
    }
    for role, (parts, n_inputs, biased) in outputs.items():
        weights[role] = tuple(
            replace(part, name=f"{part.name}.weight", shape=(*part.shape, n_inputs)) for part in parts
        )
        if biased:
            weights[f"{role}_bias"] = tuple(replace(part, name=f"{part.name}.bias") for part in parts)
    return weights


def _vectors(role: str, name: str, width: int) -> dict[str, Parts]:
    """Return the tensors of a layer norm."""
    return {role: (Stored(f"{name}.weight", (width,)),), f"{role}_bias": (Stored(f"{name}.bias", (width,)),)}


def _qkv(name: str, family: _Family, attention: Attention, order: tuple[int, ...]) -> Parts:
    """Return the outputs of queries, keys and values, those of queries and keys in the order that rotates halves."""
    widths = (attention.query_width, attention.key_width, attention.key_width)
    if not isinstance(family.qkv, str):
        parts = [Stored(f"{name}.{tensor}", (width,)) for tensor, width in zip(family.qkv, widths, strict=True)]
        return (*(replace(part, head_order=order) for part in parts[:2]), parts[2])
    whole = Stored(f"{name}.{family.qkv}", (sum(widths),))
    ranges = _ranges([width // family.groups for width in widths], family.groups)
    return tuple(
        replace(whole, rows=rows, head_order=order if kind < 2 else ())  # noqa: PLR2004 - not the values
        for kind, each in enumerate(ranges)
        for rows in each
    )


def _ranges(sizes: Sequence[int], groups: int) -> list[list[range]]:
    """Return where queries, keys and values lie in a tensor that has some of each, one group after the other."""
    starts = [sum(sizes[:kind]) for kind in range(len(sizes))]
    return [
        [range(group * sum(sizes) + start, group * sum(sizes) + start + width) for group in range(groups)]
        for start, width in zip(starts, sizes, strict=True)
    ]
