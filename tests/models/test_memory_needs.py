"""What methods are said to take of memory, from files that may say anything."""

import json
import shutil

import pytest

from tuibench.models.memory_needs import size_of


@pytest.mark.parametrize(
    "odd", [{"num_key_value_heads": [2, 2]}, {"head_dim": [16]}, {"num_hidden_layers": "2"}, {"hidden_size": True}]
)
def test_a_configuration_in_unusual_words_leaves_the_cache_unknown(tiny_llama, tmp_path, odd):
    usual = size_of(tiny_llama.directory)
    assert usual.kv_bytes_per_token > 0
    folder = shutil.copytree(tiny_llama.directory, tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    config.pop("head_dim", None)
    (folder / "config.json").write_text(json.dumps(config | odd))
    found = size_of(folder)
    assert (found.kv_bytes_per_token, found.parameters) == (0, usual.parameters)
