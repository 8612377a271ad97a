"""Quantised methods stay near the model that they come from, and say what they did."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tests.engines.ort.generation import divergence, forced, loaded, opened
from tuibench.core.run.spec import Calibration
from tuibench.engines.base import CalibrationError
from tuibench.engines.ort import facts, session
from tuibench.engines.ort.build import build
from tuibench.engines.ort.quantise import gptq_int4 as compensated
from tuibench.engines.ort.recipes import OPTIONS
from tuibench.methods import engine_class

TEXT = [int(token) for token in np.random.default_rng(3).integers(3, 384, 60)]
# Random tiny weights are harder to round than trained ones; the bounds tell a working method from a broken one.
LARGEST_DIVERGENCE = {"int8-dynamic": 0.01, "int8-static": 0.03, "int8-torch": 0.05, "int4-onnx": 0.6}


@pytest.fixture(scope="module")
def exact(tiny_model):
    found = {}

    def make(kind):
        if kind not in found:
            found[kind] = forced(loaded("kv-cache", tiny_model(kind))[0], TEXT)
        return found[kind]

    return make


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize(
    "kind",
    [
        *("gpt2", "llama-untied-biased", "granite", "olmo2", "phi3-partly-rotated", "qwen3", "stablelm"),
        *(
            "gemma2-caps",
            "gemma3-two-rotations",
            "gemma4-told-again",
            "hunyuan",
            "olmo3-two-rotations",
            "phi3-longrope",
        ),
    ],
)
@pytest.mark.parametrize("method", LARGEST_DIVERGENCE)
def test_quantised_logits_stay_near_fp32(method, kind, tiny_model, exact):
    engine, info = loaded(method, tiny_model(kind))
    found = divergence(exact(kind), forced(engine, TEXT))
    # In a Gemma 4 products read the residual itself, which no norm has made even, and there is a layer more.
    more = 2 if kind == "gemma4-told-again" else 1
    assert 0 < found < more * LARGEST_DIVERGENCE[method]
    assert info.facts["quantised"].startswith("100 %")


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("kind", ["gpt-oss", "olmoe"])
@pytest.mark.parametrize("method", ["int8-dynamic", "int8-static", "int4-onnx"])
def test_quantised_experts_stay_near_fp32(method, kind, tiny_model, exact):
    """A token that is sent to another expert by a rounded activation is far from where it was, hence the bounds."""
    engine, info = loaded(method, tiny_model(kind))
    found = divergence(exact(kind), forced(engine, TEXT))
    assert 0 < found < (0.6 if method == "int4-onnx" else 0.25)
    assert "experts block 32 × 6" in info.facts["products"]


@pytest.mark.usefixtures("warm_cache")
def test_of_experts_only_those_count_that_a_token_goes_to(tiny_model):
    _, info = loaded("onnx-fused", tiny_model("olmoe"))
    n_layers, hidden, width, n_experts, n_active = 3, 64, 160, 8, 3
    router, attention, heads = hidden * n_experts, hidden * (hidden + 2 * 32) + hidden * hidden, 384 * hidden
    layer = router + attention + n_active * 3 * hidden * width
    embedded_row = 4 * hidden
    assert info.weight_bytes == 4 * (n_layers * layer + heads) + embedded_row
    assert info.facts["experts"] == "3 of 8 are read for a token"


@pytest.mark.usefixtures("warm_cache")
def test_fewer_bits_read_fewer_bytes(tiny_model):
    sizes = [
        loaded(method, tiny_model("gpt2"))[1].weight_bytes for method in ("onnx-fused", "int8-dynamic", "int4-onnx")
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 3 * sizes[1]


def test_int8_torch_quantises_conv1d_and_head(tiny_model):
    _, info = loaded("int8-torch", tiny_model("gpt2"))
    assert info.facts["products"] == "INT8 × 9, FP32 × 0"


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("ranges", ["percentile", "entropy"])
def test_other_ranges_give_a_working_graph(ranges, tiny_model, exact):
    options = msgspec.structs.replace(OPTIONS["int8-static"], ranges=ranges)
    engine, info, _ = opened("int8-static", tiny_model("llama"), options=options)
    assert ranges in info.facts["calibration"]
    assert divergence(exact("llama"), forced(engine, TEXT)) < 0.5


@pytest.mark.usefixtures("warm_cache")
def test_smoothing_changes_how_it_rounds_and_not_what_it_computes(tiny_model, exact):
    found = []
    for smoothing in (0.0, 0.7):
        options = msgspec.structs.replace(OPTIONS["int8-dynamic"], smoothing=smoothing)
        engine, info, _ = opened("int8-dynamic", tiny_model("llama"), options=options)
        found.append(forced(engine, TEXT))
        assert divergence(exact("llama"), found[-1]) < LARGEST_DIVERGENCE["int8-dynamic"]
        n_moved = 6 if smoothing else 0
        assert f"outliers of {n_moved} products moved into the weights" in info.facts["calibration"]
    assert not np.array_equal(*found)


@pytest.mark.usefixtures("warm_cache")
def test_sensitive_products_are_kept_in_blocks_and_named(tiny_model):
    options = msgspec.structs.replace(OPTIONS["int8-static"], max_noise=0.0)
    _, info, _ = opened("int8-static", tiny_model("llama"), options=options)
    assert info.facts["kept in blocks"].startswith("attention_out × 2, gate_up × 2, head × 1, mlp_out × 2, qkv × 2")


@pytest.mark.usefixtures("warm_cache")
def test_integers_are_not_widened_at_run_time(tiny_model):
    _, info = loaded("int8-static", tiny_model("llama"))
    assert "no fall-back" in info.facts["integer kernels"]
    assert "MatMulIntegerToFloat × 8" in info.facts["kernels per token"]


@pytest.mark.usefixtures("warm_cache")
def test_processor_without_vnni_gets_unsigned_products_and_the_same_logits(tiny_model, monkeypatch, exact):
    expected = forced(loaded("int8-static", tiny_model("llama"))[0], TEXT)
    monkeypatch.setattr(session, "has_vnni", lambda: False)
    monkeypatch.setattr(facts, "has_vnni", lambda: False)
    engine, info = loaded("int8-static", tiny_model("llama"))
    assert info.facts["integer kernels"].startswith("no VNNI: both sides unsigned")
    assert divergence(expected, forced(engine, TEXT)) < 0.2 * divergence(exact("llama"), expected)


def test_reading_the_text_again_for_a_few_products_at_a_time_gives_the_same_weights(tiny_model, tmp_path, monkeypatch):
    contents = []
    for budget in (compensated._MOMENTS_BYTES, 1):
        monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / str(budget)))
        monkeypatch.setattr(compensated, "_MOMENTS_BYTES", budget)
        made = build("int4-onnx", OPTIONS["int4-onnx"], tiny_model("llama"), lambda *_: None)
        contents.append((made.directory / "weights.bin").read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("method", ["int8-dynamic", "int8-static", "int4-onnx"])
def test_own_calibration_text_makes_another_artifact(method, tiny_model, tmp_path):
    text = tmp_path / "own.txt"
    text.write_text("Numbers such as 1, 2, 3 and 3.14159; dates such as 2024-05-06. " * 40)
    engine = engine_class(method)()
    engine.calibrate_on(Calibration(file=str(text)))
    _, info, made = opened(method, tiny_model("qwen2"), options=engine.options)
    assert made
    assert info.facts["calibration"].startswith("own.txt (sha256 ")


def test_short_calibration_text_is_refused_and_leaves_nothing(tiny_model, empty_cache, tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("Too short.")
    options = msgspec.structs.replace(OPTIONS["int8-static"], calibration=str(text))
    with pytest.raises(CalibrationError, match=r"short\.txt has \d+ tokens; at least 256"):
        opened("int8-static", tiny_model("llama"), options=options)
    assert not list((empty_cache / "artifacts").glob("int8-static*"))
    assert not list((empty_cache / "artifacts" / ".staging").glob("*"))


@pytest.mark.usefixtures("empty_cache")
def test_missing_calibration_text_is_refused(tiny_model, tmp_path):
    options = msgspec.structs.replace(OPTIONS["int8-static"], calibration=str(tmp_path / "none.txt"))
    with pytest.raises(CalibrationError, match=r"none\.txt cannot be read"):
        opened("int8-static", tiny_model("llama"), options=options)
