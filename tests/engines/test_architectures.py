"""Families from the campaign over all, one for each kind of fault: caches under other names, hybrids whose blocks score
otherwise, windows, rotations that depend on the length, experts, encoders, drafts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.architectures.judged import other_rows
from tests.architectures.table import read_table, table
from tests.campaigns.architectures import TABLE, read_results

_DECODERS = (
    "llama", "gpt2", "gpt_neo", "mpt", "gemma2", "deepseek_v3", "qwen3_moe", "llama4_text", "mamba", "mamba2",
    "bamba", "jamba", "recurrent_gemma", "phi3 (longrope)",
)  # fmt: skip
_REFUSED = {"bert": "encoder", "xlnet": "depends on the tokens that follow", "gemma4_assistant": "from tokens alone"}
_NO_CACHE = "openai-gpt"
_METHODS = ("baseline", "kv-cache")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("architectures")
    results, names = folder / "results.jsonl", ",".join([*_DECODERS, *_REFUSED, _NO_CACHE])
    command = [sys.executable, "-m", "tests.campaigns.architectures", "--types", names, "--results", str(results)]
    subprocess.run([*command, "--methods", ",".join(_METHODS)], check=False, timeout=600, stdout=subprocess.DEVNULL)
    return read_results(results)


@pytest.mark.parametrize("method", _METHODS)
@pytest.mark.parametrize("name", _DECODERS)
def test_a_decoder_computes_what_transformers_computes_without_a_cache(verdicts, name, method):
    assert verdicts[name][method] == "right"


@pytest.mark.parametrize("method", _METHODS)
@pytest.mark.parametrize("name", _REFUSED)
def test_what_is_no_decoder_is_refused_in_one_line(verdicts, name, method):
    kind, _, reason = verdicts[name][method].partition(": ")
    assert kind == "refused"
    assert _REFUSED[name] in reason


def test_what_takes_no_cache_is_run_without_and_refused_with(verdicts):
    assert verdicts[_NO_CACHE] == {
        "baseline": "right",
        "kv-cache": "refused: openai-gpt takes no cache in transformers; baseline runs it",
    }


def test_logits_of_another_model_are_not_taken_for_right():
    rows = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)
    assert other_rows("decoded", rows, rows + 3) == []
    assert other_rows("decoded", rows, rows[::-1]) != []
    assert other_rows("decoded", rows, np.full_like(rows, np.nan)) != []


def test_the_table_can_be_read_and_a_row_of_it_replaced():
    methods, verdicts = read_table(TABLE.read_text())
    page = table(verdicts, methods, {}, "these versions")
    assert read_table(page) == (methods, verdicts)
    verdicts["llama"] = {"baseline": "right", "kv-cache": "WRONG: its logits", "onnx": "refused: llama has no graph"}
    again = read_table(table(verdicts, methods, {}, "these versions"))[1]
    assert again == verdicts | {"llama": verdicts["llama"] | {"onnx": "refused: … has no graph"}}
