"""A decoder as an OpenVINO model.

It is laid out as optimum-intel exports one: the KV-cache is state, reordered by `beam_idx`; attention is
`ScaledDotProductAttention` with a mask; norms and rotation are the elementary operators that OpenVINO's CPU plug-in
knows and fuses. Keys are rotated before they are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tuibench.engines.decoder.checkpoint import Checkpoint, Matrix
from tuibench.engines.decoder.description import Activation, Decoder, Layer, Weights
from tuibench.engines.decoder.rope import rope_frequencies

if TYPE_CHECKING:
    import openvino as ov

Node = Any
"""Of a package without types."""
_INPUTS = ("input_ids", "attention_mask", "position_ids", "beam_idx")


def unsupported(decoder: Decoder) -> str | None:
    """Return why no graph is laid out of a model; None if one can be."""
    if decoder.convolving:
        return "no OpenVINO graph is laid out of a model with convolutions"
    attentions = [layer.attention for layer in decoder.layers]
    feeds = [layer.feed for layer in decoder.layers]
    what = None
    if any(feed.experts is not None for feed in feeds):
        what = "with experts"
    elif any(each.window is not None for each in attentions):
        what = "with a sliding window"
    elif any(
        each.softcap is not None or each.sinks or each.norm_after_rotation or each.qk_norm == "all"
        for each in attentions
    ):
        what = "with caps, sinks or other norms in its attention"
    elif decoder.parallel or decoder.logit_softcap is not None or decoder.embedding_scale != 1:
        what = "whose residual or logits are computed otherwise than Llama's or GPT-2's"
    elif any(
        "attention_out_norm" in layer.weights or "attention_norm" not in layer.weights for layer in decoder.layers
    ):
        what = "with norms after its attention"
    elif not decoder.is_uniform or decoder.local_rope or decoder.rope.get("partial_rotary_factor", 1) != 1:
        what = "whose layers differ, or rotate a part of a head"
    return None if what is None else f"no OpenVINO graph is laid out of a model {what}"


def build_model(decoder: Decoder, weights: Checkpoint) -> ov.Model:
    """Return the model: `input_ids`, `attention_mask`, `position_ids` of `[1, tokens]` and `beam_idx` to logits.

    The mask covers what is in the cache, too.
    """
    return _Layout(decoder, weights).model()


class _Layout:
    def __init__(self, decoder: Decoder, weights: Checkpoint) -> None:
        import openvino as ov
        from openvino import opset15

        self._ov, self._op = ov, opset15
        self._decoder, self._checkpoint = decoder, weights
        self._sinks: list[Any] = []
        self._inputs = {name: self._parameter(name, 1 if name == "beam_idx" else 2) for name in _INPUTS}

    def model(self) -> ov.Model:
        decoder, checkpoint, op = self._decoder, self._checkpoint, self._op
        table = self._weight("embedding", checkpoint.embedding)
        tied = decoder.tied_head and not checkpoint.has_untied_head
        residual = op.gather(table, self._inputs["input_ids"], self._int(0))
        if "positions" in decoder.weights:
            positions = self._weight("positions", checkpoint.matrix(decoder.weights, "positions"))
            residual = op.add(residual, op.gather(positions, self._inputs["position_ids"], self._int(0)))
        mask, rotation = self._mask(), self._rotation()
        for index, layer in enumerate(decoder.layers):
            normed = self._norm(f"layers.{index}.attention_norm", residual, layer.weights, "attention_norm")
            residual = op.add(residual, self._attention(index, layer, normed, mask, rotation))
            normed = self._norm(f"layers.{index}.feed_norm", residual, layer.weights, "feed_norm")
            residual = op.add(residual, self._feed(index, layer, normed))
        normed = self._norm("final_norm", residual, decoder.weights, "final_norm")
        logits = op.matmul(normed, table if tied else self._weight("head", checkpoint.head), False, True)
        bias = checkpoint.get(decoder.weights, "head_bias")
        logits = logits if bias is None else op.add(logits, self._weight("head_bias", bias))
        logits.output(0).get_tensor().set_names({"logits"})
        results = [op.result(logits)]
        return self._ov.Model(results, self._sinks, list(self._inputs.values()), decoder.model_type)

    def _parameter(self, name: str, rank: int) -> Node:
        kind = np.int32 if name == "beam_idx" else np.int64
        parameter = self._op.parameter([-1] * rank, kind, name=name)
        parameter.output(0).get_tensor().set_names({name})
        return parameter

    def _int(self, value: int | list[int]) -> Node:
        return self._op.constant(np.array(value, dtype=np.int64))

    def _float(self, value: float) -> Node:
        return self._op.constant(np.array(value, dtype=np.float32))

    def _weight(self, name: str, values: Matrix) -> Node:
        return self._op.constant(np.ascontiguousarray(values, dtype=np.float32), name=name)

    def _mask(self) -> Node:
        """Return what is added to the scores: 0 where a position sees another, and minus infinity where not."""
        op = self._op
        n_keys = op.gather(op.shape_of(self._inputs["attention_mask"], "i64"), self._int(1), self._int(0))
        keys = op.range(self._int(0), n_keys, self._int(1), "i64")
        queries = op.unsqueeze(op.unsqueeze(self._inputs["position_ids"], self._int(1)), self._int(3))
        return op.select(op.less_equal(keys, queries), self._float(0), self._float(float("-inf")))

    def _rotation(self) -> tuple[Node, Node] | None:
        """Return cosines and sines of `[1, 1, tokens, head_dim]`."""
        op, decoder = self._op, self._decoder
        if not decoder.rope:
            return None
        frequencies, factors = rope_frequencies(decoder.rope, decoder.head_dim)
        doubled = np.concatenate([frequencies, frequencies]).astype(np.float32)
        positions = op.convert(op.unsqueeze(self._inputs["position_ids"], self._int(2)), "f32")
        angles = op.unsqueeze(op.multiply(positions, op.constant(doubled[None, None])), self._int(1))
        cos, sin = op.cos(angles), op.sin(angles)
        if (factors == 1).all():
            return cos, sin
        scale = op.constant(np.concatenate([factors, factors])[None, None, None])
        return op.multiply(cos, scale), op.multiply(sin, scale)

    def _norm(self, name: str, x: Node, weights: Weights, role: str) -> Node:
        op = self._op
        scale = self._weight(name, self._checkpoint.matrix(weights, role))
        if self._decoder.norm == "rms":
            return self._rms(x, scale)
        bias = self._checkpoint.get(weights, f"{role}_bias")
        normed = op.multiply(op.mvn(x, self._int([-1]), True, float(self._decoder.norm_epsilon), "INSIDE_SQRT"), scale)
        return normed if bias is None else op.add(normed, self._weight(f"{name}.bias", bias))

    def _rms(self, x: Node, scale: Node) -> Node:
        op = self._op
        mean = op.reduce_mean(op.power(x, self._float(2)), self._int([-1]), True)
        root = op.sqrt(op.add(mean, self._float(self._decoder.norm_epsilon)))
        return op.multiply(op.multiply(x, op.divide(self._float(1), root)), scale)

    def _product(self, name: str, x: Node, weights: Weights, role: str) -> Node:
        """Return a product with the weights of a role, one after the other, with their biases."""
        return self._products(name, x, weights, role)[0]

    def _products(self, name: str, x: Node, weights: Weights, role: str, widths: tuple[int, ...] = ()) -> list[Node]:
        op = self._op
        matrix, bias = self._checkpoint.matrix(weights, role), self._checkpoint.get(weights, f"{role}_bias")
        edges = np.cumsum(widths or (len(matrix),))
        found = []
        for index, (start, end) in enumerate(zip((0, *edges[:-1]), edges, strict=True)):
            part = self._weight(f"{name}.{index}", matrix[start:end])
            product = op.matmul(x, part, False, True)
            found.append(
                product if bias is None else op.add(product, self._weight(f"{name}.{index}.bias", bias[start:end]))
            )
        return found

    def _attention(self, index: int, layer: Layer, x: Node, mask: Node, rotation: tuple[Node, Node] | None) -> Node:
        op, attention, prefix = self._op, layer.attention, f"layers.{index}"
        widths = (attention.query_width, attention.key_width, attention.key_width)
        parts = self._products(f"{prefix}.qkv", x, layer.weights, "qkv", widths)
        query, key, value = (self._heads(part, attention.head_dim) for part in parts)
        if attention.qk_norm == "head":
            scales = [self._checkpoint.matrix(layer.weights, role) for role in ("query_norm", "key_norm")]
            query, key = (
                self._rms(each, self._weight(f"{prefix}.qk", scale))
                for each, scale in zip((query, key), scales, strict=True)
            )
        query, key, value = (op.transpose(each, self._int([0, 2, 1, 3])) for each in (query, key, value))
        if rotation is not None and attention.rotated:
            query, key = (self._rotated(each, rotation, attention.head_dim) for each in (query, key))
        n_times = attention.n_heads // attention.n_kv_heads
        keys, values = (
            self._repeated(
                self._kept(f"past_key_values.{index}.{name}", part, attention.n_kv_heads),
                attention.head_dim,
                attention.n_heads,
                n_times,
            )
            for name, part in (("key", key), ("value", value))
        )
        attended = op.scaled_dot_product_attention(query, keys, values, mask, self._float(attention.scale))
        flat = op.reshape(
            op.transpose(attended, self._int([0, 2, 1, 3])), self._int([0, 0, attention.query_width]), True
        )
        return self._product(f"{prefix}.attention_out", flat, layer.weights, "attention_out")

    def _heads(self, x: Node, head_dim: int) -> Node:
        return self._op.reshape(x, self._int([0, 0, -1, head_dim]), True)

    def _rotated(self, x: Node, rotation: tuple[Node, Node], head_dim: int) -> Node:
        op, half = self._op, head_dim // 2
        step, axis = self._int([1]), self._int([3])
        first = op.slice(x, self._int([0]), self._int([half]), step, axis)
        second = op.slice(x, self._int([half]), self._int([2**31 - 1]), step, axis)
        turned = op.concat([op.multiply(second, self._float(-1)), first], -1)
        return op.add(op.multiply(x, rotation[0]), op.multiply(turned, rotation[1]))

    def _kept(self, name: str, x: Node, n_kv_heads: int) -> Node:
        """Return all that the cache holds after these keys or values are appended."""
        from openvino.op.util import Variable, VariableInfo

        op, head_dim = self._op, self._decoder.head_dim
        info = VariableInfo()
        info.data_shape = self._ov.PartialShape([-1, n_kv_heads, -1, head_dim])
        info.data_type = self._ov.Type.f32
        info.variable_id = name
        variable = Variable(info)
        batch = op.gather(op.shape_of(self._inputs["input_ids"], "i64"), self._int([0]), self._int(0))
        shape = op.concat([batch, self._int([n_kv_heads]), self._int([0]), self._int([head_dim])], 0)
        past = op.read_value(op.broadcast(self._float(0), shape), variable)
        whole = op.concat([op.gather(past, self._inputs["beam_idx"], self._int(0)), x], 2)
        self._sinks.append(op.assign(whole, variable))
        return whole

    def _repeated(self, x: Node, head_dim: int, n_heads: int, n_times: int) -> Node:
        """Return keys or values with one head for each that asks."""
        if n_times == 1:
            return x
        # A product with ones, for which the plug-in has a pattern that leads to its fused attention.
        op, ones = self._op, self._op.constant(np.ones((1, 1, n_times, 1, 1), dtype=np.float32))
        wide = op.multiply(op.unsqueeze(x, self._int(2)), ones)
        return op.reshape(wide, self._int([0, n_heads, -1, head_dim]), True)

    def _feed(self, index: int, layer: Layer, x: Node) -> Node:
        op, feed, prefix = self._op, layer.feed, f"layers.{index}"
        widths = (feed.width, feed.width) if feed.gated else (feed.width,)
        parts = self._products(f"{prefix}.mlp_up", x, layer.weights, "mlp_up", widths)
        active = self._activated(parts[0], feed.activation)
        inner = op.multiply(active, parts[1]) if feed.gated else active
        return self._product(f"{prefix}.mlp_down", inner, layer.weights, "mlp_down")

    def _activated(self, x: Node, activation: Activation) -> Node:
        op = self._op
        if activation == "silu":
            return op.swish(x)
        if activation.startswith("gelu"):
            return op.gelu(x, "TANH" if activation == "gelu_tanh" else "ERF")
        positive = op.relu(x)
        return op.multiply(positive, positive) if activation == "relu_squared" else positive
