"""Sessions over many shapes of models, long contexts, teams of threads, and caches that cannot be written."""

import os
import shutil
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from tests.tiny_onnx_models import MAKERS, _save_llama_like
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.fused import facts, linking, machine_code, weights
from tuibench.engines.fused.engine import FusedFp32, FusedInt4, FusedInt8
from tuibench.engines.fused.matrices import LANES
from tuibench.engines.fused.team import Team
from tuibench.engines.fused.weights import keep_packed, packed_matrices
from tuibench.engines.torch.eager import KvCache


def no_progress(label, done, total):
    pass


@pytest.fixture(scope="module")
def tiny_experts(tmp_path_factory):
    return MAKERS["olmoe"](tmp_path_factory.mktemp("models") / "olmoe")


@pytest.fixture(scope="module")
def tiny_varied(tmp_path_factory):
    return MAKERS["gemma4-told-again"](tmp_path_factory.mktemp("models") / "gemma4")


@pytest.fixture(scope="module")
def tiny_convolutions(tmp_path_factory):
    return MAKERS["lfm2-convolutions"](tmp_path_factory.mktemp("models") / "lfm2")


@pytest.fixture(scope="module", params=["llama", "experts", "varied", "convolutions"])
def directory(request, tiny_llama):
    return tiny_llama.directory if request.param == "llama" else request.getfixturevalue(f"tiny_{request.param}")


def last_logits(engine, directory, n_threads, tokens, n_prompt):
    engine.load(directory, n_threads, no_progress)
    logits = engine.prefill(tokens[:n_prompt], len(tokens))
    for token in tokens[n_prompt:]:
        logits = engine.decode(token)
    found = logits.copy()
    engine.close()
    return found


@settings(max_examples=12, deadline=None)
@given(
    n_kv_heads=st.integers(1, 3),
    group=st.integers(1, 4),
    head_dim=st.sampled_from([2, 6, 16, 24]),
    n_threads=st.integers(1, 3),
    n_tokens=st.integers(2, 700),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_heads_lengths_and_threads_give_the_logits_of_transformers(
    tmp_path_factory, n_kv_heads, group, head_dim, n_threads, n_tokens, seed
):
    directory = _save_llama_like(
        tmp_path_factory.mktemp("any") / "model",
        "llama",
        hidden_size=10 * n_kv_heads * group,
        intermediate_size=50,
        num_hidden_layers=1,
        num_attention_heads=n_kv_heads * group,
        num_key_value_heads=n_kv_heads,
        head_dim=head_dim,
        max_position_embeddings=1024,
    )
    tokens = [int(token) for token in np.random.default_rng(seed).integers(3, 380, n_tokens)]
    n_prompt = max(1, n_tokens - 5)
    expected = last_logits(KvCache(), directory, 1, tokens, n_prompt)
    found = last_logits(FusedFp32(), directory, n_threads, tokens, n_prompt)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_logits_do_not_depend_on_the_number_of_threads(tiny_llama):
    tokens = [int(token) for token in np.random.default_rng(0).integers(3, 380, 200)]
    found = [last_logits(FusedFp32(), tiny_llama.directory, n, tokens, 190) for n in (1, 2, 5)]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-5 * np.abs(found[0]).max())


def test_helpers_come_back_after_they_have_parked(tiny_llama):
    engine = FusedFp32()
    engine.load(tiny_llama.directory, 3, no_progress)
    session, team = engine._session, engine._session._team
    expected = engine.prefill([5, 6], 16).copy()
    for _ in range(3):
        arguments = session.model, session._cache, session._scratch, session._logits
        team.set_work(session._decode, *arguments)  # returns only when every helper is parked
        np.testing.assert_array_equal(engine.prefill([5, 6], 16), expected)
    engine.close()


def test_close_ends_the_helpers(tiny_llama):
    before = threading.active_count()
    engine = FusedFp32()
    engine.load(tiny_llama.directory, 4, no_progress)
    engine.prefill([1, 2, 3], 8)
    assert threading.active_count() == before + 3
    engine.close()
    assert threading.active_count() == before


def test_a_team_that_never_worked_can_be_closed():
    Team(3).close()


def test_an_unknown_rotary_variant_is_named(tmp_path):
    directory = _save_llama_like(
        tmp_path / "model", "llama", rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    )
    with pytest.raises(UnsupportedModelError, match="dynamic"):
        FusedFp32().load(directory, 1, no_progress)


@pytest.mark.parametrize("engine_class", [FusedFp32, FusedInt8, FusedInt4])
def test_weights_from_files_have_the_bits_of_weights_packed_now(directory, tmp_path, monkeypatch, engine_class):
    tokens = [int(token) for token in np.random.default_rng(1).integers(3, 380, 12)]
    packed_now = last_logits(engine_class(), directory, 2, tokens, 8)
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path))
    decoder = read_decoder(directory)
    precision = engine_class.method.precision
    arguments = (decoder, Checkpoint(directory, decoder), directory, precision, 2, no_progress)
    assert keep_packed(*arguments)
    assert not keep_packed(*arguments)
    monkeypatch.setattr(weights, "_packed", None)
    np.testing.assert_array_equal(last_logits(engine_class(), directory, 2, tokens, 8), packed_now)


def test_weights_from_files_take_the_bytes_that_the_widest_layer_uses(tiny_llama, tmp_path, monkeypatch):
    module = AutoModelForCausalLM.from_pretrained(tiny_llama.directory, dtype=torch.bfloat16).float()
    module.model.layers[1].mlp.down_proj.weight.data += 1e-5
    module.save_pretrained(tmp_path / "model")
    directory, tokens = tmp_path / "model", [5, 6, 7, 8]
    packed_now = last_logits(FusedFp32(), directory, 1, tokens, 2)
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path))
    decoder = read_decoder(directory)
    arguments = (decoder, Checkpoint(directory, decoder), directory, "fp32", 1, no_progress)
    assert keep_packed(*arguments)
    stacks = packed_matrices(*arguments)
    assert (stacks["qkv"].n_bytes == 2).all()
    assert stacks["mlp_down"].n_bytes.tolist() == [2, 4, *stacks["mlp_down"].n_bytes[2:].tolist()]
    for stack in (stack for stack in stacks.values() if len(stack.n_bytes)):
        assert stack.high_bytes.shape[-1] == LANES * stack.n_bytes.max()
    np.testing.assert_array_equal(last_logits(FusedFp32(), directory, 1, tokens, 2), packed_now)


def test_a_head_packed_in_pieces_is_that_packed_whole(tiny_llama, monkeypatch):
    tokens = [5, 6, 7, 8]
    whole = last_logits(FusedInt4(), tiny_llama.directory, 1, tokens, 2)
    monkeypatch.setattr(weights, "_HEAD_BYTES", 4096)
    np.testing.assert_array_equal(last_logits(FusedInt4(), tiny_llama.directory, 1, tokens, 2), whole)


PROGRAM = """
import sys
from pathlib import Path
from tuibench.engines.fused.engine import FusedFp32, FusedInt4, FusedInt8
engine = FusedFp32()
prepared = engine.prepare(Path(sys.argv[1]), lambda *_: None)
info = engine.load(Path(sys.argv[1]), 1, lambda *_: None)
engine.prefill([1, 2], 4)
engine.decode(3)
heavy = {"torch", "transformers", "onnx", "onnxruntime", "numba", "llvmlite"} & set(sys.modules)
print(prepared, "notice" in info.facts, sorted(heavy))
engine.close()
"""


def run_program(model, cache):
    environment = os.environ | {"TUIBENCH_CACHE": str(cache)}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", PROGRAM, str(model.directory)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_kernels_are_compiled_once_and_load_no_model_library(tiny_llama, tmp_path):
    """The smallest of the parts: the others, which take long, are there."""
    others = [part for part in machine_code.parts_of("fp32") if part != "common"]
    machine_code.compile_missing(others)
    folder = tmp_path / "numba" / machine_code.code_digest()
    folder.mkdir(parents=True)
    for part in others:
        shutil.copy(machine_code._folder() / part, folder)
    assert run_program(tiny_llama, tmp_path) == "True False []"
    assert run_program(tiny_llama, tmp_path) == "False False []"


def test_kernels_of_another_processor_are_kept_apart(tmp_path):
    """Taken for ready, they would be compiled while the model is loaded, and the time told as its load time."""
    program = "from tuibench.engines.fused.machine_code import cache_folder; print(cache_folder())"
    found = set()
    for processor in ({}, {"NUMBA_CPU_NAME": "generic"}, {"NUMBA_CPU_FEATURES": "+sse2"}):
        environment = os.environ | {"TUIBENCH_CACHE": str(tmp_path)} | processor
        found.add(subprocess.check_output([sys.executable, "-c", program], env=environment, text=True))
    assert len(found) == 3


@pytest.mark.parametrize("library", ["numba", "llvmlite"])
def test_kernels_of_another_compiler_are_kept_apart(monkeypatch, library):
    ours = machine_code.cache_folder()
    monkeypatch.setattr(machine_code, "version", lambda name: "0.0.1" if name == library else metadata.version(name))
    assert machine_code.cache_folder() != ours


@pytest.fixture(scope="module")
def common_code(tmp_path_factory):
    """Return the file with the smallest of the parts."""
    folder = tmp_path_factory.mktemp("code")
    command = [sys.executable, "-m", "tuibench.engines.fused.compile_ahead", "common", str(folder)]
    subprocess.run(command, check=True)
    return folder / "common"


def test_code_that_is_damaged_is_taken_for_missing(common_code, tmp_path):
    content = common_code.read_bytes()
    assert machine_code.read_code(common_code) is not None
    for damaged in (b"", content[:31], content[:-1], content[:200] + b"x" + content[201:]):
        (tmp_path / "common").write_bytes(damaged)
        assert machine_code.read_code(tmp_path / "common") is None


def test_llvm_links_code_for_processors_that_the_loader_does_not_know(common_code, monkeypatch):
    content = machine_code.read_code(common_code)
    bits = np.arange(12, dtype=np.uint32).reshape(3, 4)
    found = []
    for machine in ("x86_64", "aarch64"):
        monkeypatch.setattr(linking.platform, "machine", lambda machine=machine: machine)
        code = linking.LinkedCode(content.code, list(content.kinds))
        packed = np.zeros((1, 4, 16, 4), np.uint8)
        machine_code.Entry("pack_fp32", content.kinds["pack_fp32"], code)(bits, packed)
        found.append(packed)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[0].view(np.uint32)[0, :, :3, 0], bits.T)


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 4), np.float32), np.zeros(4, np.uint32), np.zeros((4, 4), np.uint32)[:, :2], 3, None]
)
def test_compiled_code_refuses_what_it_would_misread(wrong):
    with pytest.raises(TypeError):
        machine_code.entry("common", "bytes_in_use")(wrong)


WITHOUT_A_CACHE = """
import numpy as np
from tuibench.engines.fused import machine_code
used = machine_code.entry("common", "bytes_in_use")(np.array([[1 << 24]], np.uint32))
print(machine_code.CACHE_FOLDER, used, machine_code._folder())
"""


def test_without_a_cache_that_can_be_written_kernels_are_compiled_in_each_process_and_a_notice_says_so(
    tiny_llama, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    environment = os.environ | {"TUIBENCH_CACHE": str(tmp_path / "file" / "cache")}
    environment.pop("NUMBA_CACHE_DIR", None)
    told = subprocess.check_output([sys.executable, "-c", WITHOUT_A_CACHE], env=environment, text=True)
    cache, used, folder = told.split()
    assert (cache, used, Path(folder).exists()) == ("None", "2", False)
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(facts, "CACHE_FOLDER", None)
    engine = FusedFp32()
    engine.prepare(tiny_llama.directory, no_progress)
    assert "compiled anew at every start" in engine.load(tiny_llama.directory, 1, no_progress).facts["notice"]
    assert np.isfinite(engine.prefill([1, 2], 4)).all()
    engine.close()


@pytest.mark.parametrize("engine_class", [FusedFp32, FusedInt8, FusedInt4])
@settings(max_examples=10, deadline=None)
@given(
    n_at_once=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    n_prompt=st.integers(1, 300),
    n_threads=st.integers(1, 3),
)
def test_tokens_at_once_have_the_bits_of_decoding(directory, engine_class, n_at_once, n_prompt, n_threads):
    tokens = [int(token) for token in np.random.default_rng(n_prompt).integers(3, 380, n_prompt + sum(n_at_once))]
    engine = engine_class()
    engine.load(directory, n_threads, no_progress)
    engine.prefill(tokens[:n_prompt], len(tokens))
    expected = [engine.decode(token).copy() for token in tokens[n_prompt:]]
    engine.prefill(tokens[:n_prompt], len(tokens))
    found, start = [], n_prompt
    for n_tokens in n_at_once:
        found += list(engine._session.append(tokens[start : start + n_tokens]).copy())
        start += n_tokens
    engine.close()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("engine_class", "n_before", "n_tokens", "at_once"),
    [
        (FusedFp32, 20, 10, False), (FusedFp32, 20, 11, True), (FusedFp32, 200, 11, False), (FusedFp32, 200, 12, True),
        (FusedInt8, 20, 10, False), (FusedInt8, 20, 11, True), (FusedInt8, 200, 14, False), (FusedInt8, 200, 15, True),
        (FusedInt4, 200, 14, False), (FusedInt4, 200, 15, True),
    ],
)  # fmt: skip
def test_few_tokens_behind_many_are_read_in_steps_and_more_of_them_at_once(
    tiny_llama, engine_class, n_before, n_tokens, at_once, monkeypatch
):
    tokens = [int(token) for token in np.random.default_rng(5).integers(3, 380, n_before + n_tokens)]
    engine = engine_class()
    engine.load(tiny_llama.directory, 2, no_progress)
    engine.prefill(tokens[:n_before], len(tokens))
    expected = [engine.decode(token).copy() for token in tokens[n_before:]][-1]
    engine.prefill(tokens[:n_before], len(tokens))
    reads, read = [], engine._session.read
    monkeypatch.setattr(engine._session, "read", lambda *asked: reads.append(asked) or read(*asked))
    found = engine.extend(tokens[n_before:]).copy()
    engine.close()
    assert bool(reads) == at_once
    if at_once:
        np.testing.assert_allclose(found, expected, atol=2e-3 if engine_class is FusedFp32 else 0.05)
    else:
        np.testing.assert_array_equal(found, expected)


def test_tokens_taken_back_leave_no_trace(tiny_llama):
    engine = FusedInt8()
    engine.load(tiny_llama.directory, 2, no_progress)
    engine.prefill([5, 6, 7], 16)
    expected = [engine.decode(token).copy() for token in (8, 9)]
    engine.prefill([5, 6, 7], 16)
    engine._session.append([8, 100, 200, 300])
    engine._session.rollback(3)
    np.testing.assert_array_equal(engine.decode(9), expected[1])
    engine.close()


@pytest.mark.parametrize("longer", [2, 9, 14, 40])
def test_a_longer_text_after_a_shorter_one_finds_room(tiny_llama, longer):
    """A cache is rounded up to whole panels, so that the next text may just fit in."""
    tokens = [int(token) for token in np.random.default_rng(3).integers(3, 380, 18 + longer)]
    expected = last_logits(FusedFp32(), tiny_llama.directory, 1, tokens, 10)
    engine = FusedFp32()
    engine.load(tiny_llama.directory, 1, no_progress)
    engine.prefill(tokens[:10], 18)
    found = engine.prefill(tokens[:10], len(tokens))
    for token in tokens[10:]:
        found = engine.decode(token)
    np.testing.assert_array_equal(found, expected)
    engine.close()


def test_more_tokens_than_were_asked_for_are_refused(tiny_llama):
    engine = FusedFp32()
    engine.load(tiny_llama.directory, 1, no_progress)
    engine.prefill([5, 6], 3)
    engine.decode(7)
    with pytest.raises(IndexError, match="room for 3 positions"):
        engine.decode(8)
    engine.close()


def test_of_too_many_tokens_none_is_taken(tiny_llama):
    engine = FusedFp32()
    engine.load(tiny_llama.directory, 1, no_progress)
    engine.prefill([5, 6], 11)
    with pytest.raises(IndexError, match="room for 11 positions"):
        engine.extend(range(7, 17))  # in steps, of which the first would fit
    expected = engine.decode(7).copy()
    engine.prefill([5, 6], 11)
    np.testing.assert_array_equal(engine.decode(7), expected)
    engine.close()
