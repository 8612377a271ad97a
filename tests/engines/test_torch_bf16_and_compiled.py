"""`kv-cache-bf16` against transformers in BF16, `kv-cache-compiled` against transformers in FP32."""

import pytest
import setuptools  # noqa: F401 - PyTorch's compiler imports it, which fails where another test has imported distutils
import torch
from transformers import AutoModelForCausalLM

from tests.tiny_onnx_models import _save_llama_like
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.first_steps import largest_kld
from tuibench.engines.torch import bf16
from tuibench.engines.torch.compiled import KvCacheCompiled
from tuibench.engines.torch.eager import KvCacheBf16
from tuibench.models.folder import open_folder

TEXT = [7, 300, 41, 9, 100, 101, 250, 3, 77, 8, 200, 12, 13, 99]
N_PROMPT = 9


def transformers_logits(model, dtype):
    loaded = AutoModelForCausalLM.from_pretrained(model.directory, dtype=dtype).eval()
    with torch.inference_mode():
        return loaded(torch.tensor([TEXT])).logits[0].float().numpy()


def decoded(engine):
    yield engine.prefill(TEXT[:N_PROMPT], len(TEXT)).copy()
    for token in TEXT[N_PROMPT:]:
        yield engine.decode(token).copy()


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_gpt2"])
def test_bf16_is_transformers_in_bf16_and_reads_half_the_bytes(name, request):
    model = request.getfixturevalue(name)
    engine = KvCacheBf16()
    info = engine.load(model.directory, 1, lambda *_: None)
    expected = transformers_logits(model, torch.bfloat16)
    for row, theirs in zip(decoded(engine), expected[N_PROMPT - 1 :], strict=True):
        assert abs(row - theirs).max() < 0.1  # a few steps of BF16 at this size of logits
    exact = transformers_logits(model, torch.float32)
    assert 1e-7 < largest_kld(exact, next(engine.score(TEXT))) < 0.05
    embedding = AutoModelForCausalLM.from_pretrained(model.directory, dtype=torch.bfloat16)
    streamed = sum(each.nbytes for each in embedding.parameters()) - (
        embedding.transformer.wpe.weight.nbytes if name == "tiny_gpt2" else 0
    )
    assert (info.facts["precision"], info.weight_bytes) == ("BF16", streamed)
    assert not engine.method.promises_the_model


def test_two_sequences_share_a_step_in_bf16(tiny_llama):
    engine = KvCacheBf16()
    engine.load(tiny_llama.directory, 1, lambda *_: None)
    texts = ([5, 6, 7, 8], [9, 10, 11])
    engine.begin_batch(2, 20)
    for sequence, text in enumerate(texts):
        engine.read_sequence(sequence, text[:-1])
    together = engine.decode_batch([0, 1], [text[-1] for text in texts]).copy()
    for row, text in zip(together, texts, strict=True):
        engine.prefill(text[:-1], 20)
        assert abs(row - engine.decode(text[-1])).max() < 0.1
    assert KvCacheCompiled().why_alone == "its step is compiled for one sequence"


@pytest.mark.parametrize(
    ("onednn_has_it", "flags", "told"),
    [
        (False, {"avx2"}, "none: widened to FP32 for every product"),
        (True, {"avx512f"}, "none: widened to FP32 by oneDNN"),
        (True, {"avx512f", "avx512_bf16"}, "AVX512-BF16"),
        (True, {"avx512_bf16", "amx_bf16"}, "AMX-BF16"),
    ],
)
def test_the_row_says_which_instructions_multiply_bf16(onednn_has_it, flags, told, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn_has_it)
    monkeypatch.setattr(bf16, "reported_by_cpu", lambda: frozenset(flags))
    assert bf16.instructions().startswith(told)


@pytest.fixture(scope="module")
def one_layer(tmp_path_factory):
    """A C++ compiler takes seconds for each kernel, of which every layer has its own."""
    return open_folder(_save_llama_like(tmp_path_factory.mktemp("models") / "model", "llama", num_hidden_layers=1))


def test_the_compiled_step_is_the_model_at_every_length_without_being_compiled_again(one_layer, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "another"))
    engine = KvCacheCompiled()
    assert engine.prepare(one_layer.directory, lambda *_: None)
    made = set(tmp_path.rglob("*.so"))
    assert made
    assert not KvCacheCompiled().prepare(one_layer.directory, lambda *_: None)
    try:
        engine.load(one_layer.directory, 2, lambda *_: None)
        assert set(tmp_path.rglob("*.so")) == made  # loading compiles nothing
        expected = transformers_logits(one_layer, torch.float32)
        for row, theirs in zip(decoded(engine), expected[N_PROMPT - 1 :], strict=True):
            assert abs(row - theirs).max() < 1e-4
        engine.prefill(TEXT[:3], 200)
        assert abs(engine.decode(TEXT[3]) - expected[3]).max() < 1e-4
        assert not engine.keep(2, 100)  # steps would read 200 positions
        assert engine.keep(2, 200)
        assert abs(engine.extend(TEXT[2:6]) - expected[5]).max() < 1e-4
    finally:
        engine.close()


def test_without_a_compiler_the_row_says_what_to_install(tiny_llama, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UnsupportedModelError, match=r"C\+\+ compiler; there is no no-such-compiler here; install"):
        KvCacheCompiled().prepare(tiny_llama.directory, lambda *_: None)


def test_caches_that_move_are_refused_before_anything_is_compiled(tmp_path):
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=8, max_position_embeddings=64,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="mistral has layers that do not look back at all tokens"):
        KvCacheCompiled().load(tmp_path, 1, lambda *_: None)
