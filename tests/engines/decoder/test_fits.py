"""A method that cannot fit is refused with both numbers before anything is made; its need is known beforehand."""

import pytest

from tests.tiny_onnx_models import MAKERS
from tests.trained_gpt2 import FOLDER
from tuibench.core.run.events import FailureKind
from tuibench.engines.decoder import fits
from tuibench.engines.decoder.fits import NotEnoughMemoryError, check_fits
from tuibench.methods import engine_class
from tuibench.models.memory_needs import need_of
from tuibench.models.model_size import ModelSize, size_of
from tuibench.worker.serve import explain


@pytest.fixture(scope="module")
def mixtral(tmp_path_factory):
    return MAKERS["mixtral-window"](tmp_path_factory.mktemp("models") / "mixtral")


def parameters_of(model_dir):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_dir)
    return sum(each.numel() for each in {id(each): each for each in model.parameters()}.values())


@pytest.mark.parametrize("kind", ["mixtral", "trained GPT-2"])
def test_weights_are_counted_as_transformers_counts_them(kind, request):
    model_dir = FOLDER if kind != "mixtral" else request.getfixturevalue("mixtral")
    size = size_of(model_dir)
    assert size.parameters == parameters_of(model_dir)
    assert size.is_fp32 == (kind == "mixtral")


def test_a_token_takes_as_much_of_the_kv_cache_as_the_engine_says(tiny_llama, tiny_gpt2):
    from tuibench.engines.torch.eager import KvCache

    for model in (tiny_llama, tiny_gpt2):
        info = KvCache().load(model.directory, 1, lambda *_: None)
        assert size_of(model.directory).kv_bytes_per_token == info.kv_cache.bytes_per_token


def test_files_are_not_made_where_making_them_would_be_killed(mixtral, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    need = need_of("onnx-fused", size_of(mixtral), 0)
    monkeypatch.setattr(fits, "free_memory_bytes", lambda: need.prepare - 1)
    with pytest.raises(
        NotEnoughMemoryError, match=r"^making the files of onnx-fused takes about \d+ MiB .* are free; "
    ):
        engine_class("onnx-fused")().prepare(mixtral, lambda *_: None)
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_what_is_free_decides_and_the_row_says_out_of_memory(mixtral, monkeypatch):
    need = need_of("kv-cache@a-host", size_of(mixtral), 0)
    monkeypatch.setattr(fits, "free_memory_bytes", lambda: need.least)
    check_fits("kv-cache", mixtral)
    monkeypatch.setattr(fits, "free_memory_bytes", lambda: need.least - 1)
    with pytest.raises(NotEnoughMemoryError) as refused:
        check_fits("kv-cache", mixtral)
    kind, message = explain(refused.value)
    assert kind is FailureKind.OUT_OF_MEMORY
    assert message.startswith("kv-cache takes about ")
    check_fits("a-plug-in", mixtral)


SIZE = ModelSize(body=10**9, table=10**8, head=0, stored_bytes=22 * 10**8, is_fp32=False, kv_bytes_per_token=10**5)


def test_fewer_bits_need_less_and_a_longer_text_more():
    ladder = [need_of(f"fused-{bits}", SIZE, 0).run for bits in ("fp32", "int8", "int4")]
    assert ladder == sorted(ladder, reverse=True)
    for method, bytes_per_token in (("kv-cache", 10**5), ("kv-cache-bf16", 5 * 10**4), ("baseline", 0)):
        assert need_of(method, SIZE, 1000).run - need_of(method, SIZE, 0).run == 1000 * bytes_per_token
