import pytest

from tuibench.core.kv_cache import KvCacheSize, kv_cache_size

SMOLLM2 = {"num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576}
GPT2 = {"n_layer": 12, "n_head": 12, "n_embd": 768}


@pytest.mark.parametrize(
    ("config", "length", "n_bytes"),
    [
        (SMOLLM2, 512, 512 * 30 * 2 * 3 * 64 * 4),
        (GPT2, 512, 512 * 12 * 2 * 768 * 4),
        (SMOLLM2 | {"head_dim": 128}, 1, 30 * 2 * 3 * 128 * 4),
        ({"text_config": SMOLLM2}, 1, 30 * 2 * 3 * 64 * 4),
        (SMOLLM2 | {"sliding_window": 100}, 512, 100 * 30 * 2 * 3 * 64 * 4),
        (SMOLLM2 | {"sliding_window": 100, "use_sliding_window": False}, 512, 512 * 30 * 2 * 3 * 64 * 4),
        (SMOLLM2 | {"sliding_window": None}, 512, 512 * 30 * 2 * 3 * 64 * 4),
    ],
)
def test_a_length_needs_two_vectors_for_each_layer_and_kv_head(config, length, n_bytes):
    assert kv_cache_size(config, 4).at(length) == n_bytes


def test_only_sliding_layers_forget():
    kinds = ["sliding_attention"] * 20 + ["full_attention"] * 10
    size = kv_cache_size(SMOLLM2 | {"sliding_window": 100, "layer_types": kinds}, 4)
    per_layer = 2 * 3 * 64 * 4
    assert size.at(50) == 50 * 30 * per_layer
    assert size.at(300) == 300 * 10 * per_layer + 100 * 20 * per_layer


def test_engine_notes_figure_for_512_tokens_is_met():
    """23.6 MB for SmolLM2 at 512 tokens in FP32, a quarter of it in INT8, a little more where scales count."""
    assert kv_cache_size(SMOLLM2, 4).at(512) == pytest.approx(23.6e6, rel=0.01)
    assert kv_cache_size(SMOLLM2, 1).at(512) == pytest.approx(5.9e6, rel=0.01)
    assert kv_cache_size(SMOLLM2, 1, 4).at(512) == 512 * 30 * 2 * 3 * (64 + 4)


def test_a_configuration_that_does_not_tell_gives_no_size():
    assert kv_cache_size({"model_type": "strange"}, 4) is None


def test_no_window_grows_with_every_token():
    assert KvCacheSize(bytes_per_token=7).at(1000) == 7000
