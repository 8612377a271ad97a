"""Which tensors a decoder's checkpoint holds, by name and shape: everything that reads weights goes by this table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tuibench.engines.decoder.description import Decoder, Family

PREFIXES: Mapping[Family, str] = {"llama": "model.", "gpt2": "transformer."}
"""What a language model's checkpoint puts before all names but the head's; a base model's has none."""
EMBEDDINGS: Mapping[Family, str] = {"llama": "embed_tokens.weight", "gpt2": "wte.weight"}
HEAD = "lm_head.weight"
_BUFFERS: Mapping[Family, re.Pattern[str]] = {
    "llama": re.compile(r"rotary_emb\.inv_freq"),
    "gpt2": re.compile(r"^h\.\d+\.attn\.(masked_)?bias$"),
}
"""Frequencies and causal masks that older versions of transformers saved; newer ones compute them."""
Shape = tuple[int, ...]


def is_buffer(name: str, family: Family) -> bool:
    """Return whether a stored tensor is no weight, but was computed from the configuration."""
    return _BUFFERS[family].search(name) is not None


def expected_shapes(decoder: Decoder) -> dict[str, Shape]:
    """Return the shape of every tensor, by its name without the base model's prefix."""
    table = (decoder.vocabulary, decoder.hidden)
    shapes: dict[str, Shape] = {EMBEDDINGS[decoder.family]: table, HEAD: table}
    shapes.update(_gpt2(decoder) if decoder.family == "gpt2" else _llama(decoder))
    return shapes


def _llama(decoder: Decoder) -> Iterator[tuple[str, Shape]]:
    hidden, feed = decoder.hidden, decoder.intermediate
    query, key = decoder.n_heads * decoder.head_dim, decoder.n_kv_heads * decoder.head_dim
    products = {
        "self_attn.q_proj": (query, hidden, decoder.qkv_bias),
        "self_attn.k_proj": (key, hidden, decoder.qkv_bias),
        "self_attn.v_proj": (key, hidden, decoder.qkv_bias),
        "self_attn.o_proj": (hidden, query, decoder.attention_out_bias),
        "mlp.gate_proj": (feed, hidden, decoder.feed_bias),
        "mlp.up_proj": (feed, hidden, decoder.feed_bias),
        "mlp.down_proj": (hidden, feed, decoder.feed_bias),
    }
    yield "norm.weight", (hidden,)
    for layer in (f"layers.{index}" for index in range(decoder.n_layers)):
        for name, (n_outputs, n_inputs, has_bias) in products.items():
            yield f"{layer}.{name}.weight", (n_outputs, n_inputs)
            if has_bias:
                yield f"{layer}.{name}.bias", (n_outputs,)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{layer}.{norm}.weight", (hidden,)
        if decoder.qk_norm:
            yield f"{layer}.self_attn.q_norm.weight", (decoder.head_dim,)
            yield f"{layer}.self_attn.k_norm.weight", (decoder.head_dim,)


def _gpt2(decoder: Decoder) -> Iterator[tuple[str, Shape]]:
    hidden, feed = decoder.hidden, decoder.intermediate
    # transformers' Conv1D keeps its weight as [inputs, outputs].
    products = {
        "attn.c_attn": (hidden, 3 * hidden),
        "attn.c_proj": (hidden, hidden),
        "mlp.c_fc": (hidden, feed),
        "mlp.c_proj": (feed, hidden),
    }
    assert decoder.context_window is not None  # noqa: S101 - learned positions end somewhere
    yield "wpe.weight", (decoder.context_window, hidden)
    yield from (("ln_f.weight", (hidden,)), ("ln_f.bias", (hidden,)))
    for layer in (f"h.{index}" for index in range(decoder.n_layers)):
        for name, (n_inputs, n_outputs) in products.items():
            yield f"{layer}.{name}.weight", (n_inputs, n_outputs)
            yield f"{layer}.{name}.bias", (n_outputs,)
        for norm in ("ln_1", "ln_2"):
            yield f"{layer}.{norm}.weight", (hidden,)
            yield f"{layer}.{norm}.bias", (hidden,)
