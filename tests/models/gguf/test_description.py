from __future__ import annotations

import numpy as np
import pytest

from tests.gguf_files import decoder_keys, gguf_tensors, write_gguf
from tests.gguf_sources import VOCAB_SIZE, source_model
from tuibench.models.local import ModelError
from tuibench.models.origin.convert import described_model
from tuibench.models.origin.gguf.description import ARCHITECTURES, read_description

PROMPT = [(7 * i + 3) % VOCAB_SIZE for i in range(120)]


def llama3_factors(dim=64, theta=500000.0):
    """Return what transformers divides angles by, for Llama 3.1's settings."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    parameters = {"rope_theta": theta, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0}
    parameters |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    config = LlamaConfig(hidden_size=dim, num_attention_heads=1, rope_parameters=parameters)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config)
    return (theta ** -(np.arange(0, dim, 2) / dim) / scaled.numpy()).astype(np.float32)


def longrope_factors():
    return {
        "rope_factors_long.weight": np.array([2.0 + i / 8 for i in range(32)], np.float32),
        "rope_factors_short.weight": np.array([1.0 + i / 32 for i in range(32)], np.float32),
    }


YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64}
LINEAR = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
GEMMA = {"attention.key_length": 32, "attention.value_length": 32, "attention.sliding_window": 16}
KEPT = {
    "llama, biases": {},
    "llama, tied, other head_dim": {"attention.key_length": 32, "attention.value_length": 32},
    "llama, llama3 scaling": {"rope.freq_base": 500000.0},
    "llama, linear scaling": LINEAR,
    "llama, yarn": YARN,
    "qwen2, yarn": YARN,
    "qwen3, head_dim 32": {"attention.key_length": 32, "attention.value_length": 32},
    "phi3, longrope": {
        "rope.dimension_count": 64, "rope.scaling.original_context_length": 64, "rope.scaling.attn_factor": 1.1547005,
        "attention.sliding_window": 0,
    },
    "gemma2": GEMMA | {"attn_logit_softcapping": 4.0, "final_logit_softcapping": 5.0},
    "gemma2, layers of 27B": GEMMA | {
        "attention.sliding_window": 4096, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
    },
    "gemma3, linear scaling": GEMMA | {
        "rope.freq_base": 1000000.0, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0,
    },
}  # fmt: skip
"""What the converter says of a source beside its sizes: llama.cpp computes otherwise without it."""
EXTRA_TENSORS = {
    "llama, llama3 scaling": lambda: {"rope_freqs.weight": llama3_factors()},
    "phi3, longrope": longrope_factors,
}


def last_logits(model):
    import torch

    with torch.inference_mode():
        return model.eval()(torch.tensor([PROMPT])).logits[0, -1]


def converted(path):
    """Return the model as it is stored: one that has only been described has no table of angles yet."""
    from transformers import AutoModelForCausalLM

    folder = path.with_suffix("")
    described_model(read_description(path), lambda _: None).save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("name", KEPT)
def test_what_llama_cpp_computes_with_is_kept(tmp_path, name):
    source = source_model(name)
    architecture = name.partition(",")[0]
    keys = decoder_keys(source.config) | KEPT[name]
    tensors = gguf_tensors(source, architecture) | EXTRA_TENSORS.get(name, dict)()
    path = write_gguf(tmp_path / "tiny.gguf", architecture, keys, tensors)
    np.testing.assert_allclose(last_logits(converted(path)), last_logits(source), atol=2e-5)


def test_gpt2_has_as_many_positions_as_the_file_says(tmp_path):
    source = source_model("gpt2")
    keys = {
        "context_length": 320, "embedding_length": 256, "feed_forward_length": 1024, "block_count": 6,
        "attention.head_count": 4, "attention.layer_norm_epsilon": 1e-5,
    }  # fmt: skip
    path = write_gguf(tmp_path / "tiny.gguf", "gpt2", keys, gguf_tensors(source, "gpt2"))
    ours = converted(path)
    assert ours.config.n_positions == 320
    np.testing.assert_allclose(last_logits(ours), last_logits(source), atol=2e-5)


@pytest.fixture(scope="module")
def llama():
    source = source_model("llama")
    return decoder_keys(source.config), gguf_tensors(source, "llama")


SAFETENSORS = "; use the model as a safetensors folder"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"rope.scaling.type": "su"}, "llama.rope.scaling.type = 'su' is not something that its conversion"),
        ({"rope.scaling.type": "longrope"}, "llama.rope.scaling.type = 'longrope' is not"),
        ({"rope.scale_linear": 4.0}, "llama.rope.scale_linear = 4 is not"),
        ({"attention.sliding_window": 4096}, "llama.attention.sliding_window = 4096 is not"),
        ({"attention.value_length": 32}, "llama.attention.value_length = 32 is not"),
        ({"attention.clamp_kqv": 8.0}, "llama.attention.clamp_kqv = 8 is not"),
        ({"attention.causal": False}, "llama.attention.causal = False is not"),
        ({"attention.head_count_kv": [2, 2, 1, 2]}, r"llama.attention.head_count_kv = \(2, 2, 1, 2\) is not"),
        ({"rope.dimension_count": 32}, "llama.rope.dimension_count = 32 is not"),
        ({"logit_scale": 0.5}, "llama.logit_scale = 0.5 is not"),
        ({"vocab_size": 400}, "llama.vocab_size = 400 is not"),
        ({"block_count": 2.5}, "llama.block_count = 2.5 is not"),
        ({"block_count": 0}, "llama.block_count = 0 is not"),
        ({"block_count": 4_000_000_000}, "llama.block_count = 4000000000 is not"),
    ],
)
def test_key_that_cannot_be_kept_is_named(tmp_path, llama, keys, reason):
    path = write_gguf(tmp_path / "tiny.gguf", "llama", llama[0] | keys, llama[1])
    with pytest.raises(ModelError, match=rf"^{reason}.*{SAFETENSORS}$"):
        read_description(path)


def test_per_layer_numbers_that_are_alike_are_one(tmp_path, llama):
    path = write_gguf(tmp_path / "tiny.gguf", "llama", llama[0] | {"attention.head_count_kv": [2] * 4}, llama[1])
    assert read_description(path).config["num_key_value_heads"] == 2


def test_missing_key_is_named(tmp_path, llama):
    keys = {key: value for key, value in llama[0].items() if key != "attention.layer_norm_rms_epsilon"}
    path = write_gguf(tmp_path / "tiny.gguf", "llama", keys, llama[1])
    with pytest.raises(ModelError, match=f"^it lacks llama.attention.layer_norm_rms_epsilon, .*{SAFETENSORS}$"):
        read_description(path)


def test_unknown_architecture_is_named_with_those_that_are_known(tmp_path, llama):
    path = write_gguf(tmp_path / "tiny.gguf", "bitnet", *llama)
    with pytest.raises(ModelError, match=f"^its architecture 'bitnet' is none .*gpt2.*llama.*{SAFETENSORS}$"):
        read_description(path)
    assert "bitnet" not in ARCHITECTURES


def test_adapter_is_refused(tmp_path, llama):
    path = write_gguf(tmp_path / "tiny.gguf", "llama", *llama, general__type="adapter")
    with pytest.raises(ModelError, match=r"^it does not hold a model but 'adapter'"):
        read_description(path)


def test_rotation_factors_of_another_kind_are_refused(tmp_path, llama):
    factors = {"rope_freqs.weight": np.linspace(1, 8, 32, dtype=np.float32)}
    path = write_gguf(tmp_path / "tiny.gguf", "llama", llama[0], llama[1] | factors)
    with pytest.raises(ModelError, match=f"rope_freqs.weight.*{SAFETENSORS}$"):
        read_description(path)


@pytest.mark.parametrize("scaling", [LINEAR, YARN])
def test_rotation_factors_beside_another_scaling_are_refused(tmp_path, llama, scaling):
    factors = {"rope_freqs.weight": llama3_factors()}
    path = write_gguf(tmp_path / "tiny.gguf", "llama", llama[0] | scaling, llama[1] | factors)
    with pytest.raises(ModelError, match=f"rope_freqs.weight.*{SAFETENSORS}$"):
        read_description(path)


def test_bookkeeping_is_passed_over(tmp_path, llama):
    more = {"quantize__imatrix__file": "a.dat", "general__quantized_by": "somebody", "somebody__version": "3"}
    read_description(write_gguf(tmp_path / "tiny.gguf", "llama", *llama, **more))


def model_of(tmp_path, label, keys, tensors):
    return described_model(read_description(write_gguf(tmp_path / "tiny.gguf", label, keys, tensors)), lambda _: None)


@pytest.mark.parametrize(
    "name", ["blk.1.ffn_up.weight", "blk.3.attn_norm.weight", "output_norm.weight", "blk.0.attn_q.weight"]
)
def test_missing_tensor_is_named(tmp_path, llama, name):
    keys, tensors = llama
    with pytest.raises(ModelError, match=f"^it lacks the tensor {name} of a model of 'llama'; fetch it again$"):
        model_of(tmp_path, "llama", keys, {other: tensors[other] for other in tensors if other != name})


@pytest.mark.parametrize("name", ["blk.1.ffn_sub_norm.weight", "blk.4.attn_norm.weight", "blk.0.attn_q_norm.bias", "x"])
def test_tensor_without_a_place_is_named(tmp_path, llama, name):
    with pytest.raises(ModelError, match=f"^its tensor {name} has no place in a model of 'llama'{SAFETENSORS}$"):
        model_of(tmp_path, "llama", llama[0], llama[1] | {name: np.ones(256, np.float32)})


@pytest.mark.parametrize("n_keys", [1, 4, 3])
def test_tensor_of_another_size_is_named(tmp_path, llama, n_keys):
    reason = rf"^its tensor blk.0.attn_k.weight is 128 × 256 where .* ask for {64 * n_keys} × 256"
    with pytest.raises(ModelError, match=reason):
        model_of(tmp_path, "llama", llama[0] | {"attention.head_count_kv": n_keys}, llama[1])


def test_numbers_that_make_no_model_are_refused_in_one_line(tmp_path):
    source = source_model("gemma2")
    keys = decoder_keys(source.config) | KEPT["gemma2"] | {"attention.head_count": 5}
    with pytest.raises(ModelError, match=f"^its metadata are not those of a 'gemma2': The hidden .*{SAFETENSORS}$"):
        model_of(tmp_path, "gemma2", keys, gguf_tensors(source, "gemma2"))


@pytest.mark.parametrize(("label", "tensor"), [("qwen2", "attn_q.bias"), ("qwen3", "attn_q_norm.weight")])
def test_llama_under_another_label_is_refused(tmp_path, llama, label, tensor):
    with pytest.raises(ModelError, match=f"^it lacks the tensor blk.0.{tensor} of a model of '{label}'"):
        model_of(tmp_path, label, *llama)


def test_vocabulary_that_does_not_fit_the_embedding_is_refused(tmp_path, llama):
    tensors = llama[1] | {"token_embd.weight": np.zeros((400, 256), np.float32)}
    path = write_gguf(tmp_path / "tiny.gguf", "llama", llama[0], tensors)
    with pytest.raises(ModelError, match=r"^its vocabulary has 384 tokens and token_embd.weight 400 rows"):
        read_description(path)
