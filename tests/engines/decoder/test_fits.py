"""A model that cannot fit is refused before anything is made of it."""

import pytest

from tests.tiny_onnx_models import MAKERS
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder import fits
from tuibench.methods import engine_class
from tuibench.models.weights import read_header


@pytest.fixture(scope="module")
def mixtral(tmp_path_factory):
    return MAKERS["mixtral-window"](tmp_path_factory.mktemp("models") / "mixtral")


def n_weights(model_dir):
    shapes = [tensor.shape for tensor in read_header(model_dir / "model.safetensors").tensors.values()]
    return sum(shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in shapes)


def test_experts_that_do_not_fit_are_refused_before_anything_is_built(mixtral, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fits, "_free_bytes", lambda: 4 * n_weights(mixtral) - 1)
    with pytest.raises(UnsupportedModelError, match=r"^the weights .* in FP32, all 4 experts of each layer included, "):
        engine_class("onnx-fused")().prepare(mixtral, lambda *_: None)
    assert not list((tmp_path / "cache").rglob("*.onnx"))


@pytest.mark.parametrize(("precision", "bytes_each"), [("fp32", 4.0), ("int8", 1.0), ("int4", 0.5)])
def test_fewer_bits_need_less(precision, bytes_each, mixtral, monkeypatch):
    from tuibench.engines.decoder.checkpoint import Checkpoint
    from tuibench.engines.decoder.read import read_decoder

    decoder = read_decoder(mixtral)
    checkpoint = Checkpoint(mixtral, decoder)
    monkeypatch.setattr(fits, "_free_bytes", lambda: bytes_each * n_weights(mixtral))
    fits.check_fits(decoder, checkpoint, precision)
    monkeypatch.setattr(fits, "_free_bytes", lambda: bytes_each * n_weights(mixtral) - 1)
    with pytest.raises(UnsupportedModelError, match="a method with fewer bits or a smaller model may fit"):
        fits.check_fits(decoder, checkpoint, precision)
