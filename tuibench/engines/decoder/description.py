"""What a decoder computes, layer by layer, and which tensors hold its weights: all that an engine builds from.

Attention and feed-forward, one after the other or side by side, read the residual and add to it. Norms are taken of
what each reads, of what it adds, or of both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tuibench.core.run.kv_cache import KvCacheSize

Activation = Literal["silu", "gelu", "gelu_tanh", "relu", "relu_squared"]
SCORED_TOKENS = 64
"""Positions that are scored at once; their logits are the largest array then."""
LOCAL = "local."
"""Prefix of the rotary tables of layers with a window, where those have their own."""
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a checkpoint."""

    name: str
    """Without the base model's prefix."""
    shape: Shape
    """As it is stored."""
    expert: int | None = None
    """Which of the experts' matrices or vectors is meant, where it holds those of all, one after the other."""
    transposed: bool = False
    """Whether that is `[inputs, outputs]`."""
    rows: range | None = None
    """Which of its outputs are meant, where it holds others, too."""
    head_order: tuple[int, ...] = ()
    """In which order the outputs of each head are taken; empty where they stay as they are."""
    factor: float = 1.0
    """What its numbers are multiplied by."""
    offset: float = 0.0
    """What is then added to them."""

    @property
    def n_outputs(self) -> int:
        """How many outputs are meant."""
        return self._outputs_inputs[0] if self.rows is None else len(self.rows)

    @property
    def n_inputs(self) -> int:
        """How many inputs a matrix has."""
        return self._outputs_inputs[-1]

    @property
    def _outputs_inputs(self) -> Shape:
        shape = self.shape if self.expert is None else self.shape[1:]
        return shape[::-1] if self.transposed else shape


def packed_shape(parts: tuple[Stored, ...]) -> tuple[int, int]:
    """Return `[outputs, inputs]` of the matrices of a role as one."""
    return sum(stored.n_outputs for stored in parts), parts[0].n_inputs


Weights = Mapping[str, tuple[Stored, ...]]
"""Role → the tensors that make it up, the outputs of one after those of the other; roles that a model lacks are absent.

Outside of layers: `embedding`, `positions`, `final_norm`, `head`, which may have a bias. In a layer: `qkv`,
`attention_out`, `mlp_up` (gate before up projection), `mlp_down`; norms of what attention and feed-forward read,
`attention_norm` and `feed_norm`, of what they add, `attention_out_norm` and `mlp_down_norm`, of heads, `query_norm` and
`key_norm`; `sinks`, `router`. Where there are experts, `mlp_up` and `mlp_down` are those of each, one after the other.
A convolution has `conv_in` (b, c and x), `conv_kernel` and `conv_out` in place of attention's products.
All but tables and sinks may have a `…_bias`. `layer_scale` is one number that a layer's result is multiplied by. Where
layers are told the token again, see `Decoder.layer_input`: outside `layer_embedding`, `layer_projection` and
`layer_projection_norm`, inside `input_gate`, `input_out` and `input_out_norm`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Attention of one layer."""

    n_heads: int
    n_kv_heads: int
    head_dim: int
    qkv_bias: bool
    out_bias: bool
    qk_norm: Literal["head", "all"] | None
    """Whether queries and keys are normalised, each head or all heads together."""
    norm_after_rotation: bool = False
    """Whether they are normalised after they are rotated, not before."""
    rotated: bool
    """Whether queries and keys are turned by the angles of their positions."""
    window: int | None
    """How many positions it attends to, its own included; None where it sees all."""
    scale: float
    """The factor on query times key."""
    softcap: float | None = None
    """What scores stay below: `softcap · tanh(score / softcap)`."""
    sinks: bool = False
    """Whether each head has a logit of its own that takes a share of the attention and adds nothing."""
    value_norm: bool = False
    """Whether the values of each head are divided by their root mean square."""
    keys_as_values: bool = False
    """Whether values are the keys before they are normalised and rotated; `qkv` has no third part then."""
    keys_of: int | None = None
    """Index of the earlier layer whose keys and values it reads; `qkv` has one part then. None where it has its own."""

    @property
    def query_width(self) -> int:
        """Outputs of the query's product."""
        return self.n_heads * self.head_dim

    @property
    def key_width(self) -> int:
        """Outputs of the key's product, and of the value's."""
        return self.n_kv_heads * self.head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortConvolution:
    """A gated convolution over the last positions, channel by channel, where other layers have attention.

    With b, c and x the parts of `conv_in · y` at each position: `conv_out · (c · Σ_k kernel_k · (b · x))`, k counting
    positions up to its own.
    """

    width: int
    """How many positions it sees, its own included."""
    bias: bool
    """Whether its products and its kernel have biases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Feed-forwards of which each token goes to a few; a router, a product with what they read, picks them.

    What the picked ones give is added up, weighed by the router's softmax.
    """

    n_experts: int
    n_active: int
    """To how many a token goes."""
    normalised: bool
    """Whether the softmax is taken of those that are picked only, so that their weights add up to 1."""
    slope: float = 1.0
    """The factor on the gate within the sigmoid of its SiLU."""
    offset: float = 0.0
    """What is added to the up projection."""
    limit: float | None = None
    """The largest gate, and the largest magnitude of the up projection; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Feed-forward of one layer."""

    width: int
    """Of one expert where there are several."""
    activation: Activation
    gated: bool
    """Whether the activation of one product is multiplied with another product."""
    bias: bool
    """Whether its products have biases, all of them."""
    experts: Experts | None = None
    """None where every token goes through the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer."""

    name: str
    """What the names of its tensors begin with."""
    mixer: Attention | ShortConvolution
    """What tells it of other positions."""
    feed: Feed
    weights: Weights

    @property
    def attention(self) -> Attention:
        """The mixer of a layer that has attention.

        Raises:
            TypeError: It has a convolution.
        """
        if isinstance(self.mixer, ShortConvolution):
            raise TypeError(f"{self.name} has no attention")
        return self.mixer

    def expert_weights(self, n_experts: int) -> int:
        """Return how many weights so many of its experts have in their matrices; 0 where it has none."""
        if self.feed.experts is None:
            return 0
        shapes = (packed_shape(self.weights[role]) for role in ("mlp_up", "mlp_down"))
        return sum(n_outputs * n_inputs for n_outputs, n_inputs in shapes) // self.feed.experts.n_experts * n_experts


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """A decoder-only transformer."""

    model_type: str
    vocabulary: int
    hidden: int
    norm: Literal["rms", "layer"]
    """What normalises the residual."""
    parallel: bool = False
    """Whether the feed-forward reads the residual that attention reads, by the same norm where it is the same tensor.
    """
    norm_epsilon: float
    embedding_scale: float = 1.0
    """What the residual begins with, in embeddings of the tokens."""
    layers: tuple[Layer, ...]
    weights: Weights
    """Those outside of layers."""
    prefix: str
    """What a language model's checkpoint puts before all names but the head's; a base model's has none."""
    is_part: bool = False
    """Whether the checkpoint is that of a model with other parts, see `models.text_part`."""
    buffers: re.Pattern[str]
    """Names of tensors that older versions of transformers saved and newer ones compute."""
    tied_head: bool
    """Whether the output head is meant to be the embedding table; `Checkpoint.head` knows whether it is."""
    context_window: int | None
    rope: dict[str, Any]
    """Parameters of the rotary embedding; empty where positions are learned."""
    local_rope: dict[str, Any] = field(default_factory=dict)
    """Those of the layers with a window; empty where they are those of all."""
    logit_softcap: float | None = None
    """What logits stay below, see `Attention.softcap`."""
    layer_input: int = 0
    """Width of what each layer is told of the token besides; 0 where that is nothing.

    With e the residual at the start and the token's row of `layer_embedding` times `layer_embedding_scale`, all layers'
    parts one after the other: `norm(layer_projection · e)`, part by part, + row. A layer adds
    `norm(input_out · (act(input_gate · x) · part))` to x after its feed-forward.
    """
    layer_embedding_scale: float = 1.0

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.layers)

    @property
    def n_kv_heads(self) -> int:
        """Those of each layer, where it `is_uniform`."""
        return next(iter(self.attentions.values())).n_kv_heads

    @property
    def head_dim(self) -> int:
        """That of each layer, where it `is_uniform`."""
        return next(iter(self.attentions.values())).head_dim

    @property
    def attentions(self) -> dict[int, Attention]:
        """Those of the layers that have attention, by the layer's index."""
        return {i: layer.mixer for i, layer in enumerate(self.layers) if isinstance(layer.mixer, Attention)}

    @property
    def convolving(self) -> dict[int, ShortConvolution]:
        """Those of the layers that have a convolution instead, likewise."""
        return {i: layer.mixer for i, layer in enumerate(self.layers) if isinstance(layer.mixer, ShortConvolution)}

    @property
    def caching(self) -> dict[int, Attention]:
        """Layers that keep keys and values, by their index: all but those that read another's."""
        return {index: each for index, each in self.attentions.items() if each.keys_of is None}

    def cache_shapes(self, n_rows: int, capacity: int) -> dict[str, Shape]:
        """Return the shape of each tensor of a cache with room for so many positions of so many sequences.

        Keys and values are `INDEX.key` and `INDEX.value`; what a convolution read is `INDEX.rows`, a row a position
        after those that are as before every text: zeros.
        """
        shapes: dict[str, Shape] = {}
        for index, each in self.caching.items():
            shape = (n_rows, each.n_kv_heads, capacity, each.head_dim)
            shapes |= {f"{index}.key": shape, f"{index}.value": shape}
        for index, convolution in self.convolving.items():
            shapes[f"{index}.rows"] = (n_rows, convolution.width - 1 + capacity, self.hidden)
        return shapes

    @property
    def rotations(self) -> dict[str, dict[str, Any]]:
        """The parameters of each rotary embedding, by a prefix that tells their tables apart."""
        tables = {"": self.rope, LOCAL: self.local_rope}
        return {prefix: rope for prefix, rope in tables.items() if rope}

    def rotation_of(self, attention: Attention) -> str | None:
        """Return which of the `rotations` turns the queries and keys of a layer; None where none does."""
        if not attention.rotated:
            return None
        return LOCAL if attention.window is not None and self.local_rope else ""

    def rotated_head_dim(self, prefix: str) -> int:
        """Return the width of the heads that one of the `rotations` turns."""
        attentions = self.attentions.values()
        return next((each.head_dim for each in attentions if self.rotation_of(each) == prefix), self.head_dim)

    @property
    def is_uniform(self) -> bool:
        """Whether layers differ in nothing but windows, scales and rotation."""
        if self.convolving:
            return False
        attentions = [replace(layer.attention, window=None, scale=1.0, rotated=False) for layer in self.layers]
        return len(set(zip(attentions, (layer.feed for layer in self.layers), strict=True))) == 1

    @property
    def experts(self) -> Experts | None:
        """Those of a layer that has some; None where none has."""
        return next((layer.feed.experts for layer in self.layers if layer.feed.experts is not None), None)

    def stored_shapes(self) -> dict[str, Shape]:
        """Return the shape of every tensor in the checkpoint, by its name without the base model's prefix."""
        everywhere = (self.weights, *(layer.weights for layer in self.layers))
        return {stored.name: stored.shape for weights in everywhere for parts in weights.values() for stored in parts}

    def text_limit(self, *, by_window: bool = False, by_rotation: bool = False) -> int | None:
        """Return the longest text that a runtime takes.

        Args:
            by_window: Whether it computes this model only as long as no token has left the window of any layer.
            by_rotation: Whether it does as long as the text is not so long that all of it is rotated otherwise.
        """
        from tuibench.engines.decoder.rope import switching_length

        windows = [attention.window for attention in self.caching.values()] if by_window else []
        switch = switching_length(self.rope) if by_rotation else None
        return min((limit for limit in (self.context_window, switch, *windows) if limit is not None), default=None)

    def kv_cache(
        self, value_bytes: int = 4, scale_bytes: int = 0, *, row_bytes: int | None = None, by_window: bool = True
    ) -> KvCacheSize:
        """Return the size of a KV-cache.

        Args:
            value_bytes: Size of one stored number: 4 for FP32.
            scale_bytes: What is stored besides, for each key and each value of a head.
            row_bytes: Size of one number of what convolutions read again; None where it is `value_bytes`.
            by_window: Whether attention with a window, or a convolution, reads no further back than it sees.
        """
        of_rows = self.hidden * (value_bytes if row_bytes is None else row_bytes)
        whole, sliding = 0 if by_window else len(self.convolving) * of_rows, 0
        for attention in self.caching.values():
            layer_bytes = 2 * attention.n_kv_heads * (attention.head_dim * value_bytes + scale_bytes)
            if by_window and attention.window is not None:
                sliding += layer_bytes
            else:
                whole += layer_bytes
        windows = [each.window for each in self.caching.values() if each.window is not None]
        return KvCacheSize(
            bytes_per_token=whole,
            sliding_bytes_per_token=sliding,
            window=max(windows, default=None) if by_window else None,
            fixed_bytes=sum(each.width - 1 for each in self.convolving.values()) * of_rows if by_window else 0,
        )
