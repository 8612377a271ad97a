"""Scoring a text gives the logits that decoding it gives."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests.engines.ort.generation import divergence, forced, greedy, loaded
from tuibench.engines.decoder.description import SCORED_TOKENS
from tuibench.engines.ort.graph.builder import GraphBuilder
from tuibench.engines.ort.graph.info import MODEL_FILE
from tuibench.engines.ort.graph.projections import BlockwiseProjection, Fp32Projection, StaticProjection, WeightTally
from tuibench.engines.ort.session import session_options

TEXT = [int(token) for token in np.random.default_rng(3).integers(3, 384, 2 * SCORED_TOKENS + 7)]
PROJECTIONS = {
    "fp32": Fp32Projection(),
    "int8-block-32": BlockwiseProjection(8, 32),
    "int8-block-64": BlockwiseProjection(8, 64),
    "int4-block-32": BlockwiseProjection(4, 32, symmetric=False),
    "int4-block-64": BlockwiseProjection(4, 64),
    "int8-static": StaticProjection(3.0),
}


def scored(engine, tokens):
    return np.concatenate([block.copy() for block in engine.score(tokens)])


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize(
    ("method", "kind"),
    [(method, kind) for kind in ("gpt2", "llama", "qwen3") for method in ("onnx", "onnx-fused")]
    + [("onnx-fused", kind) for kind in ("gemma4-told-again", "mistral-window", "phi3-longrope")]
    + [("onnx", "phi3-longrope")],
)
def test_fp32_scores_are_the_logits_of_decoding(method, kind, tiny_model):
    engine, _ = loaded(method, tiny_model(kind))
    np.testing.assert_allclose(scored(engine, TEXT), forced(engine, TEXT), atol=2e-4)


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("method", ["int8-dynamic", "int8-static", "int4-onnx"])
def test_quantised_scores_differ_from_decoding_far_less_than_from_fp32(method, tiny_model):
    engine, _ = loaded(method, tiny_model("llama"))
    decoded = forced(engine, TEXT)
    exact = forced(loaded("onnx-fused", tiny_model("llama"))[0], TEXT)
    # Attention adds in another order for a block, which turns a few roundings over.
    assert divergence(decoded, scored(engine, TEXT)) < 0.1 * divergence(exact, decoded)


def test_int8_torch_is_scored_token_by_token(tiny_model):
    engine, _ = loaded("int8-torch", tiny_model("gpt2"))
    np.testing.assert_array_equal(scored(engine, TEXT[:20]), forced(engine, TEXT[:20]))


@pytest.mark.usefixtures("warm_cache")
def test_decoding_goes_on_after_a_score(tiny_model):
    engine, _ = loaded("onnx-fused", tiny_model("llama"))
    expected, _ = greedy(engine, TEXT[:5], 12)
    scored(engine, TEXT)
    assert greedy(engine, TEXT[:5], 12)[0] == expected


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_product_of_many_rows_is_the_product_of_each_row(name, tmp_path):
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(96, 192)).astype(np.float32)
    rows = rng.normal(size=(1, 40, 192)).astype(np.float32)
    rows[..., 7] *= 30  # an outlier would change the scale of all rows, if they shared one
    with GraphBuilder(tmp_path) as graph:
        x = graph.input("x", onnx.TensorProto.FLOAT, [1, "n", 192])
        PROJECTIONS[name](graph, WeightTally(), "y", x, weight, None)
        graph.output("y", onnx.TensorProto.FLOAT, [1, "n", 96])
        graph.save()
    session = ort.InferenceSession(tmp_path / MODEL_FILE, session_options(1), providers=["CPUExecutionProvider"])
    at_once = session.run(None, {"x": rows})[0][0]
    one_by_one = np.concatenate([session.run(None, {"x": rows[:, index : index + 1]})[0][0] for index in range(40)])
    np.testing.assert_allclose(at_once, one_by_one, atol=2e-3)
