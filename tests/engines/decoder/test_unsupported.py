"""What a decoder is described as decides which engines take it, before anything is built."""

from dataclasses import replace

import pytest

from tests.tiny_models import save_gpt2, save_llama
from tests.tiny_onnx_models import MAKERS
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.fused.engine import FusedInt8
from tuibench.engines.fused.unsupported import unsupported as unsupported_kernels
from tuibench.engines.ort.engine import Onnx, OnnxFused
from tuibench.engines.ort.unsupported import unsupported as unsupported_graph
from tuibench.engines.ort.unsupported import unsupported_export

ENGINES = (unsupported_kernels, unsupported_graph, unsupported_export)


def with_feed(decoder, layers, **changes):
    """Return a decoder whose feed-forward is another in some layers."""
    return replace(
        decoder,
        layers=tuple(
            replace(layer, feed=replace(layer.feed, **changes)) if index in layers else layer
            for index, layer in enumerate(decoder.layers)
        ),
    )


@pytest.mark.parametrize("kind", MAKERS)
def test_every_family_has_kernels_and_an_export(kind, tmp_path):
    decoder = read_decoder(MAKERS[kind](tmp_path / kind))
    assert unsupported_kernels(decoder) is None
    assert unsupported_graph(decoder) is None
    assert (unsupported_export(decoder) is None) == (decoder.model_type not in {"falcon", "lfm2", "opt"})


@pytest.mark.parametrize(
    ("engine_class", "told"), [(FusedInt8, "no kernels"), (Onnx, "no ONNX graph"), (OnnxFused, "no ONNX graph")]
)
def test_each_engine_says_what_it_lacks_of_a_family_that_is_not_known(engine_class, told, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    with pytest.raises(UnsupportedModelError, match=f"^{told} for the architecture 'mamba'; known: llama, "):
        engine_class().prepare(tmp_path, lambda *_: None)


@pytest.mark.parametrize("save", [save_gpt2, save_llama])
def test_a_feed_forward_that_nobody_wrote_has_an_export_only(save, tmp_path):
    decoder = read_decoder(save(tmp_path / "model"))
    other = with_feed(decoder, range(decoder.n_layers), activation="relu_squared", gated=True)
    assert "gate" in unsupported_kernels(other)
    assert "gate" in unsupported_graph(other)
    assert unsupported_export(other) is None


def test_layer_norms_may_lack_their_biases(tmp_path):
    decoder = replace(read_decoder(save_llama(tmp_path / "model")), norm="layer")
    assert unsupported_kernels(decoder) is None
    assert unsupported_graph(decoder) is None
    assert unsupported_export(decoder) is None


def test_layers_of_more_than_two_sizes_or_of_several_kinds_have_graphs_only(tmp_path):
    decoder = read_decoder(save_llama(tmp_path / "model"))
    width = decoder.layers[0].feed.width
    uneven = with_feed(decoder, {0}, width=2 * width)
    assert unsupported_kernels(uneven) is None
    three = with_feed(replace(uneven, layers=(*uneven.layers, uneven.layers[1])), {1}, width=3 * width)
    kinds = with_feed(decoder, {0}, activation="gelu_tanh")
    for other, told in ((three, "differ in their sizes"), (kinds, "differ in their kinds")):
        assert told in unsupported_kernels(other)
        assert unsupported_kernels(other).endswith("; the method onnx-fused runs this model")
        assert unsupported_graph(other) is None
        assert unsupported_export(other) is None


def with_mixer(decoder, index, **changes):
    """Return a decoder one of whose layers has another attention or convolution."""
    layers = list(decoder.layers)
    layers[index] = replace(layers[index], mixer=replace(layers[index].mixer, **changes))
    return replace(decoder, layers=tuple(layers))


def test_the_kernels_have_one_kind_of_convolution_beside_heads_of_one_width(tmp_path):
    decoder = read_decoder(MAKERS["lfm2-convolutions"](tmp_path / "model"))
    assert unsupported_kernels(with_feed(decoder, {0}, width=96)) is None
    assert "differ in their kinds" in unsupported_kernels(with_mixer(decoder, 2, width=3))
    assert "differ in their kinds" in unsupported_kernels(with_feed(decoder, {0}, activation="gelu_tanh"))
    more = replace(decoder, layers=(*decoder.layers, decoder.layers[1]))
    assert unsupported_kernels(more) is None
    assert "heads are of one width" in unsupported_kernels(with_mixer(more, 1, head_dim=32))
    assert "differ in their kinds" in unsupported_kernels(with_mixer(more, 1, qk_norm=None))


def test_what_the_kernels_lack_of_layers_that_are_told_more_is_named(tmp_path):
    decoder = read_decoder(MAKERS["gemma4-told-again"](tmp_path / "model"))
    assert unsupported_kernels(decoder) is None
    other = with_feed(decoder, range(decoder.n_layers), activation="silu")
    assert "the token again with gelu_tanh, and not with silu" in unsupported_kernels(other)


def test_limits_of_experts_are_those_of_a_silu(tmp_path):
    decoder = read_decoder(MAKERS["gpt-oss"](tmp_path / "model"))
    assert unsupported_kernels(decoder) is None
    other = with_feed(decoder, range(decoder.n_layers), activation="gelu_tanh")
    assert "limits of experts with a SiLU" in unsupported_kernels(other)
