"""llama.cpp's library in this process, on files written here: they hold what transformers computes with."""

from __future__ import annotations

from importlib.metadata import version

import gguf
import numpy as np
import pytest

from tests.architectures.folders import save_folder
from tests.engines.runtimes.peers import (
    TOKENS,
    YARN,
    changed_llama,
    decoded,
    divergence,
    keep_reference,
    loaded,
    log_probabilities,
)
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.runtimes.llama_cpp import gguf_file
from tuibench.engines.runtimes.llama_cpp.engine import LlamaCppF16, LlamaCppFile, LlamaCppQ4KM, LlamaCppQ8
from tuibench.engines.runtimes.llama_cpp.gguf_file import as_type, write_gguf
from tuibench.engines.runtimes.llama_cpp.library import UnknownLayoutError, _check_layout, load_library
from tuibench.engines.runtimes.llama_cpp.tensor_types import tensor_type
from tuibench.models.cache import Origin, open_staging, place, pull_lock, remove_cached, source_file
from tuibench.models.digest import remembered_sha256
from tuibench.models.local import ModelError
from tuibench.runtimes.catalogue import RUNTIMES
from tuibench.worker.self_check import SelfCheck, WrongModelError

HEAD = "token_embd.weight"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


def test_sequences_that_share_steps_predict_what_transformers_does_of_each(tiny_llama):
    engine, _ = loaded(LlamaCppF16, tiny_llama.directory)
    texts, n_prompts = (TOKENS, TOKENS[:2:-1], TOKENS[3:]), (5, 2, 4)
    engine.begin_batch(3, len(TOKENS))
    rows = [[np.array(engine.read_sequence(each, texts[each][: n_prompts[each]]))] for each in range(3)]
    for _ in range(4):
        latest = [text[n + len(row) - 1] for text, n, row in zip(texts, n_prompts, rows, strict=True)]
        for each, logits in enumerate(engine.decode_batch([0, 1, 2], latest)):
            rows[each].append(logits)
    rows[1].append(engine.decode_batch([1], [texts[1][6]])[0])  # the others sit out
    for text, n, row in zip(texts, n_prompts, rows, strict=True):
        expected = log_probabilities(tiny_llama.directory, text[: n - 1 + len(row)])
        assert divergence(expected[n - 1 :], row) < 1e-4
    assert divergence(log_probabilities(tiny_llama.directory)[4:], decoded(engine, 5)) < 1e-4  # and alone again


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_f16_predicts_what_transformers_does(family, request):
    model_dir = request.getfixturevalue(family).directory
    engine, info = loaded(LlamaCppF16, model_dir)
    expected = log_probabilities(model_dir)
    assert divergence(expected[4:], decoded(engine, 5)) < 1e-4
    assert divergence(expected, np.concatenate([np.array(block) for block in engine.score(TOKENS)])) < 1e-4
    assert info.facts["weights"].startswith("the model's")
    assert info.facts["KV-cache"] == "K F16, V F16"
    assert info.facts["flash attention"] == "enabled"
    assert "AVX" in info.facts["instruction sets"] or "NEON" in info.facts["instruction sets"]
    assert info.facts["runtime"].startswith("xllamacpp ")
    engine.close()


def test_a_text_of_several_blocks_is_scored_as_it_is_decoded(tiny_llama, monkeypatch):
    monkeypatch.setattr("tuibench.engines.runtimes.llama_cpp.engine._SCORED_AT_ONCE", 4)
    engine, _ = loaded(LlamaCppF16, tiny_llama.directory)
    engine.prefill(TOKENS[::-1], 20)  # forgotten
    blocks = [np.array(block) for block in engine.score(TOKENS)]
    assert [len(block) for block in blocks] == [4] * (len(TOKENS) // 4) + [len(TOKENS) % 4] * (len(TOKENS) % 4 > 0)
    assert divergence(log_probabilities(tiny_llama.directory), np.concatenate(blocks)) < 1e-4
    engine.close()


def test_a_new_prompt_forgets_the_old_one_and_a_longer_one_finds_room(tiny_llama):
    engine, _ = loaded(LlamaCppF16, tiny_llama.directory)
    first = np.array(engine.prefill(TOKENS, 20))
    long = [7] * 200
    engine.prefill(long, 1000)
    assert np.array_equal(engine.prefill(TOKENS, 20), first)
    engine.close()


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3"])
def test_other_families_are_written_too(model_type, tmp_path):
    save_folder(model_type, tmp_path / model_type)
    engine, _ = loaded(LlamaCppF16, tmp_path / model_type)
    assert divergence(log_probabilities(tmp_path / model_type)[4:], decoded(engine, 5)) < 1e-4
    engine.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_bias": True, "mlp_bias": True},
        {"tie_word_embeddings": False},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}},
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ],
    ids=["biases", "untied", "linear", "llama3"],
)
def test_llamas_that_differ_in_their_settings(changes, tmp_path):
    engine, _ = loaded(LlamaCppF16, changed_llama(tmp_path / "llama", changes))
    assert divergence(log_probabilities(tmp_path / "llama")[4:], decoded(engine, 5)) < 1e-4
    engine.close()


def test_what_is_not_written_says_so(tmp_path):
    model_dir = changed_llama(tmp_path / "llama", {"rope_parameters": YARN})
    with pytest.raises(UnsupportedModelError, match="a yarn rotary embedding; known: default, linear, llama3"):
        LlamaCppQ8().prepare(model_dir, lambda *_: None)
    save_folder("granite", tmp_path / "granite")
    with pytest.raises(UnsupportedModelError, match="the architecture 'granite'"):
        LlamaCppQ8().prepare(tmp_path / "granite", lambda *_: None)
    save_folder("mistral", tmp_path / "mistral")
    with pytest.raises(UnsupportedModelError, match="a sliding window"):
        LlamaCppQ8().prepare(tmp_path / "mistral", lambda *_: None)


@pytest.mark.parametrize("file_type", ["q8_0", "q4_0"])
def test_tensors_are_quantised_as_the_gguf_package_does_it(file_type, tiny_llama, tmp_path):
    decoder = read_decoder(tiny_llama.directory)
    weights = Checkpoint(tiny_llama.directory, decoder)
    write_gguf(tmp_path / "written.gguf", decoder, weights, file_type, lambda *_: None)
    write_gguf(tmp_path / "f16.gguf", decoder, weights, "f16", lambda *_: None)
    plain = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "f16.gguf").tensors}
    tensors = gguf.GGUFReader(tmp_path / "written.gguf").tensors
    assert {tensor.name for tensor in tensors} == set(plain)
    down = next(tensor for tensor in tensors if tensor.name == "blk.1.ffn_down.weight")
    assert down.tensor_type.name == file_type.upper()
    expected = gguf.quants.quantize(weights.matrix(decoder.layers[1].weights, "mlp_down"), down.tensor_type)
    assert np.array_equal(down.data, expected)


@pytest.mark.parametrize(("kind", "most"), [("Q4_K", 0.07), ("Q6_K", 0.02), ("Q5_0", 0.04)])
def test_blocks_of_256_come_back_near_what_they_were(kind, most):
    weights = np.random.default_rng(0).standard_normal((8, 512), dtype=np.float32)
    back = gguf.quants.dequantize(as_type(weights, kind), gguf.GGMLQuantizationType[kind])
    assert 0 < np.sqrt(np.mean((back - weights) ** 2)) < most * np.sqrt(np.mean(weights**2)) * 2


def test_types_are_mixed_as_llama_cpp_does():
    """As `llama_model_quantize` of llama.cpp b9190 chose them for these shapes."""

    def mixed(wanted, hidden, feed, n_layers, *, tied):
        shapes = {f"blk.{i}.attn_v.weight": (hidden // 2, hidden) for i in range(n_layers)}
        shapes |= {f"blk.{i}.ffn_down.weight": (hidden, feed) for i in range(n_layers)}
        shapes |= {"blk.0.attn_q.weight": (hidden, hidden), "blk.0.attn_norm.weight": (hidden,)}
        head = HEAD if tied else "output.weight"
        shapes[head] = (512, hidden)
        return {name: tensor_type(name, shape, wanted, n_layers, tied=tied) for name, shape in shapes.items()}

    large = mixed("q4_k_m", 256, 768, 16, tied=False)
    in_six_bits = {0, 1, 4, 7, 10, 13, 14, 15}
    for index in range(16):
        expected = "Q6_K" if index in in_six_bits else "Q4_K"
        assert {large[f"blk.{index}.attn_v.weight"], large[f"blk.{index}.ffn_down.weight"]} == {expected}
    assert large["output.weight"] == "Q6_K"
    assert (large["blk.0.attn_q.weight"], large["blk.0.attn_norm.weight"]) == ("Q4_K", "F32")
    # SmolLM2-135M: rows of 576 are no multiple of 256, those of 1,536 are.
    small = mixed("q4_k_m", 576, 1536, 30, tied=True)
    assert small[HEAD] == "Q8_0"
    assert (small["blk.0.attn_v.weight"], small["blk.4.attn_v.weight"]) == ("Q8_0", "Q5_0")
    assert (small["blk.0.ffn_down.weight"], small["blk.4.ffn_down.weight"]) == ("Q6_K", "Q4_K")
    assert mixed("q4_0", 256, 768, 16, tied=False)["output.weight"] == "Q6_K"
    assert mixed("q4_0", 576, 1536, 30, tied=True)[HEAD] == "Q8_0"


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_of_which_a_token_takes_a_row_is_not_read(tied, tmp_path):
    engine, info = loaded(LlamaCppQ8, changed_llama(tmp_path / "llama", {"tie_word_embeddings": tied}))
    (path,) = (tmp_path / "cache").rglob("q8_0.gguf")
    sizes = {tensor.name: tensor.n_bytes for tensor in gguf.GGUFReader(path).tensors}
    left_out = 0 if tied else sizes["token_embd.weight"]
    assert info.weight_bytes == pytest.approx(sum(sizes.values()) - left_out, abs=32 * len(sizes))
    engine.close()


def test_a_file_is_written_once_and_a_mix_is_smaller(tiny_llama):
    assert LlamaCppQ4KM().prepare(tiny_llama.directory, lambda *_: None)
    assert not LlamaCppQ4KM().prepare(tiny_llama.directory, lambda *_: None)
    _, mix = loaded(LlamaCppQ4KM, tiny_llama.directory)
    _, eight = loaded(LlamaCppQ8, tiny_llama.directory)
    assert mix.weight_bytes < eight.weight_bytes
    assert mix.kv_cache == eight.kv_cache
    assert mix.kv_cache.bytes_per_token == 2 * 2 * 2 * 16 * 2  # K and V, layers, KV heads, width, bytes


def test_what_is_tested_here_is_what_the_managed_environment_gets():
    assert f"xllamacpp=={version('xllamacpp')}" in RUNTIMES["llama-cpp"].packages


def test_a_library_of_another_version_is_refused():
    class Other:
        def __init__(self, functions):
            self.llama_model_default_params = functions.llama_model_default_params
            self._functions = functions

        def llama_context_default_params(self):
            parameters = self._functions.llama_context_default_params()
            parameters.type_k = 0
            return parameters

    functions = load_library().functions
    _check_layout(functions)
    with pytest.raises(UnknownLayoutError, match="`tuibench runtimes add llama-cpp`"):
        _check_layout(Other(functions))


@pytest.fixture
def converted(tiny_llama, tmp_path):
    """A cached model that a GGUF file was converted to."""
    decoder = read_decoder(tiny_llama.directory)
    file = tmp_path / "mine.gguf"
    write_gguf(file, decoder, Checkpoint(tiny_llama.directory, decoder), "q8_0", lambda *_: None)
    with pull_lock("mine", lambda: None):
        staging = open_staging("mine")
        for path in tiny_llama.directory.iterdir():
            if path.is_file():
                (staging.model / path.name).write_bytes(path.read_bytes())
        origin = Origin(source=file.name, revision=remembered_sha256([file]), file=str(file))
        model = place("mine", staging, origin)
    yield model, file
    remove_cached("mine")


def test_a_file_of_the_users_runs_as_it_is(converted):
    model, file = converted
    engine, info = loaded(LlamaCppFile, model.directory)
    assert source_file(model.directory) == file
    assert "Q8_0" in info.facts["file"]
    assert info.facts["weights"].startswith("the GGUF file as it is")
    assert info.artifact_bytes == file.stat().st_size
    assert 0 < divergence(log_probabilities(model.directory)[4:], decoded(engine, 5)) < 0.01
    engine.close()


def test_a_file_that_changed_or_never_was_is_told(converted, tiny_llama):
    model, file = converted
    file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(ModelError, match="or another file is; `tuibench models rm mine`"):
        LlamaCppFile().prepare(model.directory, lambda *_: None)
    with pytest.raises(ModelError, match="was not converted from a GGUF file"):
        LlamaCppFile().prepare(tiny_llama.directory, lambda *_: None)


def test_a_damaged_file_says_what_llama_cpp_says(converted):
    _, file = converted
    file.write_bytes(b"GGUF" + bytes(20))
    from tuibench.engines.runtimes.llama_cpp.decoding import Decoding

    with pytest.raises(UnsupportedModelError, match=r"llama.cpp cannot load mine.gguf: .*(fail|error)"):
        Decoding(file, 1)


def test_a_file_of_wrongly_ordered_weights_is_no_row(tiny_llama, tmp_path, monkeypatch):
    """As a builder makes it that forgets how llama.cpp's Llama pairs what it rotates: it loads."""
    model_dir = tiny_llama.directory
    decoder = read_decoder(model_dir)
    weights = Checkpoint(model_dir, decoder)

    class FromFile(LlamaCppF16):
        def _path(self, _):
            return tmp_path / "file.gguf"

    def checked():
        write_gguf(tmp_path / "file.gguf", decoder, weights, "f16", lambda *_: None)
        engine = FromFile()
        engine.load(model_dir, 1, lambda *_: None)
        return SelfCheck(engine, model_dir).run()

    keep_reference(model_dir)
    assert "within" in checked()["checked"]
    monkeypatch.setattr(gguf_file, "_as_neighbours", lambda tensor, _: tensor)
    with pytest.raises(WrongModelError, match="does not compute this model"):
        checked()
