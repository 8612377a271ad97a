"""Of a model that also sees, methods run the part that writes: transformers' logits of the whole, from tokens alone."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tests.engines.ort.generation import loaded
from tests.multimodal import CONFIGS, save_multimodal
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.runtimes.ctranslate2.files import unsupported as ctranslate2
from tuibench.engines.runtimes.genai.graphs import unsupported as genai
from tuibench.engines.torch.eager import KvCache
from tuibench.engines.torch.streamed import StreamedKvCache
from tuibench.models.folder import open_folder
from tuibench.models.local import ModelError
from tuibench.models.model_size import size_of

TOKENS = [*range(5, 45), 3, 380]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a maker: a folder, the logits of `TOKENS`, how many weights the text part has; each made once."""
    import torch
    from transformers import AutoModelForImageTextToText

    made = {}

    def make(model_type):
        if model_type not in made:
            folder = save_multimodal(model_type, tmp_path_factory.mktemp("multimodal") / model_type)
            model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([TOKENS])).logits[0].numpy()
            parts = [model.model.get_decoder(), model.get_output_embeddings()]
            weights = {id(each): each.numel() for part in parts for each in part.parameters()}
            made[model_type] = folder, logits, sum(weights.values())
        return made[model_type]

    return make


def scored(engine):
    return np.concatenate([block.copy() for block in engine.score(TOKENS)])


@pytest.mark.parametrize("model_type", CONFIGS)
def test_pytorch_gives_the_logits_of_the_whole_without_its_other_weights(model_type, whole):
    folder, expected, n_weights = whole(model_type)
    engine = KvCache()
    info = engine.load(folder, 1, lambda *_: None)
    np.testing.assert_allclose(scored(engine), expected, atol=1e-5)
    assert info.parameters == n_weights
    assert info.weight_bytes <= 4 * n_weights


@pytest.mark.parametrize("model_type", CONFIGS)
def test_its_weights_alone_are_read_and_counted(model_type, whole):
    folder, _, n_weights = whole(model_type)
    scalars = CONFIGS[model_type]["text_config"]["num_hidden_layers"] if model_type == "gemma4" else 0
    counted = {Checkpoint(folder, read_decoder(folder)).parameters, size_of(folder).parameters}
    assert counted == {n_weights + scalars}  # one a layer, which PyTorch has as a buffer
    assert size_of(folder).stored_bytes == 4 * (n_weights + scalars)
    model = open_folder(folder)
    assert model.parameters == n_weights + scalars
    assert model.weight_bytes > 4 * model.parameters
    assert model.context_window == 256


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("model_type", ["gemma3", "gemma4", "mistral3"])
def test_the_graph_gives_the_logits_of_the_whole(model_type, whole):
    folder, expected, _ = whole(model_type)
    engine, info = loaded("onnx-fused", folder)
    np.testing.assert_allclose(scored(engine), expected, atol=2e-4)
    assert math.log10(abs(expected).max()) > 0  # logits that differ from each other
    assert info.context_window == (128 if model_type == "mistral3" else 256)


@pytest.mark.usefixtures("warm_cache")
def test_the_exported_graph_and_the_streamed_reference_do(whole):
    folder, expected, _ = whole("llava")
    engine, _ = loaded("onnx", folder)
    np.testing.assert_allclose(scored(engine), expected, atol=2e-4)
    streamed = StreamedKvCache()
    streamed.load(folder, 1, lambda *_: None)
    np.testing.assert_allclose(scored(streamed), expected, atol=1e-5)


def changed(folder, tmp_path, **changes):
    """Return a folder with the same weights whose text part is said to be another."""
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= changes
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_a_text_part_of_another_family_is_refused_by_both_names(whole, tmp_path):
    folder = changed(whole("llava")[0], tmp_path, model_type="bloom")
    with pytest.raises(UnsupportedModelError, match=r"^no graph for the architecture 'bloom', the text part of llava;"):
        read_decoder(folder, "graph")


def test_converters_of_others_that_read_whole_folders_are_not_asked(whole):
    decoder = read_decoder(whole("llava")[0])
    for unsupported in (ctranslate2, genai):
        assert unsupported(decoder, "fp32").endswith(
            "was not seen to be right for the text part of a model with others"
        )


def test_weights_that_are_not_those_of_the_text_part_are_named(whole, tmp_path):
    folder = changed(whole("llava")[0], tmp_path, num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"does not use, model\.layers\.1\."):
        KvCache().load(folder, 1, lambda *_: None)
    with pytest.raises(UnsupportedModelError, match=r"holds layers\.1\."):
        Checkpoint(folder, read_decoder(folder))
