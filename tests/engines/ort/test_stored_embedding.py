"""A table of embeddings stays as narrow as the checkpoint has it, and the graph computes the same."""

import numpy as np
import onnx

from tests.engines.ort.generation import forced, opened, transformers_logits
from tests.trained_gpt2 import FOLDER
from tuibench.engines.ort.graph.info import MODEL_FILE


def test_a_bf16_embedding_is_stored_as_bf16_and_looked_up_exactly(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path))
    tokens = list(range(40, 70))
    engine, _, _ = opened("onnx-fused", FOLDER)
    assert abs(forced(engine, tokens) - transformers_logits(FOLDER, tokens)).max() < 1e-4
    (path,) = tmp_path.rglob(MODEL_FILE)
    graph = onnx.load(path, load_external_data=False).graph
    (table,) = (each for each in graph.initializer if each.name == "embedding.weight")
    assert table.data_type == onnx.TensorProto.BFLOAT16
    (length,) = (int(each.value) for each in table.external_data if each.key == "length")
    assert length == 2 * int(np.prod(table.dims))
