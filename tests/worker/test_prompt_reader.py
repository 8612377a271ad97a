"""What stands before prompts is read once, seen by an engine that notes its calls, and by real ones."""

import numpy as np
import pytest

from tests.engines.ort.generation import loaded, transformers_logits
from tuibench.core.run.spec import TrialRequest
from tuibench.engines.base import UnsupportedModelError
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.worker.prompt import Prompt, PromptReader

TEXT = "the quick brown fox jumps over the lazy dog, and then over another one. " * 8
N_NEW = 6


class Noting:
    def __init__(self):
        self.calls = []

    def prefill(self, token_ids, max_length):
        self.calls.append(("prefill", len(token_ids), max_length))

    def decode(self, token_id):
        self.calls.append(("decode", token_id))


class Extending(Noting):
    def extend(self, token_ids):
        self.calls.append(("extend", len(token_ids)))


class GoingBack(Extending):
    spare_room, can = True, True

    def keep(self, n_kept, max_length):
        self.calls.append(("keep", n_kept, max_length))
        return self.can


class Tight(GoingBack):
    spare_room = False


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return PromptTokenizer(tiny_llama.directory)


def prompt(tokenizer, depth, length):
    request = TrialRequest(prompt="", max_new_tokens=N_NEW, prompt_tokens=length, depth_tokens=depth, running_text=TEXT)
    return Prompt(tokenizer, request)


def calls(engine, tokenizer, *asked, spare=0):
    """Return what an engine is asked for by some trials, each a depth and a prompt length."""
    reader = PromptReader(engine)
    for depth, length in asked:
        reader.fill(found := prompt(tokenizer, depth, length), N_NEW, spare)
        reader.read(found, N_NEW)
    return engine.calls


def test_a_depth_is_read_once_for_all_prompts_behind_it(tokenizer):
    assert calls(GoingBack(), tokenizer, (20, 5), (20, 9), (20, 5), spare=4) == [
        ("prefill", 20, 35), ("keep", 20, 31), ("extend", 5),
        ("keep", 20, 35), ("extend", 9),
        ("keep", 20, 31), ("extend", 5),
    ]  # fmt: skip


def test_another_depth_or_none_is_read_anew_and_so_is_what_follows(tokenizer):
    assert calls(GoingBack(), tokenizer, (20, 5), (10, 5), (0, 5), (10, 5)) == [
        ("prefill", 20, 31), ("extend", 5),
        ("prefill", 10, 21), ("extend", 5),
        ("prefill", 5, 11),
        ("prefill", 10, 21), ("extend", 5),
    ]  # fmt: skip


def test_after_somebody_else_had_the_engine_read_something_it_is_filled_again(tokenizer):
    reader = PromptReader(engine := GoingBack())
    for _ in range(2):
        reader.fill(prompt(tokenizer, 20, 5), N_NEW)
        reader.forget()
    assert engine.calls == [("prefill", 20, 31)] * 2


def test_an_engine_for_which_room_is_not_free_gets_no_more_than_it_needs(tokenizer):
    assert calls(Tight(), tokenizer, (20, 5), (20, 5), spare=4) == [
        ("prefill", 20, 31), ("extend", 5), ("keep", 20, 31), ("extend", 5),
    ]  # fmt: skip


def test_a_cache_that_cannot_go_back_is_filled_for_each_trial(tokenizer):
    engine = GoingBack()
    engine.can = False
    made = calls(engine, tokenizer, (20, 5), (20, 5))
    assert [call[:2] for call in made if call[0] != "keep"] == [("prefill", 20), ("extend", 5)] * 2
    assert calls(Extending(), tokenizer, (20, 5), (20, 5)) == [("prefill", 20, 31), ("extend", 5)] * 2


def test_an_engine_that_reads_nothing_behind_others_is_refused(tokenizer):
    with pytest.raises(UnsupportedModelError, match="behind tokens"):
        calls(Noting(), tokenizer, (20, 5))


@pytest.mark.parametrize("method", ["kv-cache", "kv-cache-lookup", "onnx", "onnx-fused", "fused-fp32"])
def test_logits_behind_a_depth_that_was_read_for_another_prompt_are_those_of_the_whole_text(
    method, tiny_llama, tokenizer
):
    engine, _ = loaded(method, tiny_llama.directory)
    reader = PromptReader(engine)
    for length in (5, 21, 2):
        reader.fill(found := prompt(tokenizer, 30, length), N_NEW, 21 - length)
        rows = [np.array(reader.read(found, N_NEW)), np.array(engine.decode(7))]
        expected = transformers_logits(tiny_llama.directory, [*found.before, *found.ids, 7])
        np.testing.assert_allclose(rows, expected[-2:], atol=2e-4)
    engine.close()
