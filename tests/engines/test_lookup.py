"""Prompt lookup: what it guesses, and that the text never depends on the guesses."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuibench.engines.base import GuessingEngine
from tuibench.engines.fused.engine import FusedInt8, FusedInt8Lookup
from tuibench.engines.lookup import Guesser, PromptLookup
from tuibench.engines.torch_eager import KvCache
from tuibench.engines.torch_lookup import KvCacheLookup


def no_progress(label, done, total):
    pass


def test_the_longest_run_that_stood_before_decides():
    assert PromptLookup([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3]).guess(2) == [4, 9]
    assert PromptLookup([1, 2, 3, 4, 9, 2, 3, 5, 7, 2, 3]).guess(2) == [5, 7]


def test_nothing_is_guessed_without_a_precedent():
    assert PromptLookup([1, 2, 3, 4]).guess(7) == []
    assert PromptLookup([]).guess(7) == []


def test_the_latest_precedent_counts():
    assert PromptLookup([1, 2, 3, 1, 2, 4, 1, 2]).guess(1) == [4]


class CountingModel:
    """The logits after a token favour `next_of[all tokens so far]`; notes what was processed."""

    def __init__(self, next_of, prompt):
        self.next_of, self.text, self.widths = next_of, list(prompt), []

    def append(self, token_ids):
        self.widths.append(len(token_ids))
        rows = []
        for token in token_ids:
            self.text.append(token)
            row = np.zeros(50, np.float32)
            row[self.next_of(self.text) % row.size] = 1
            rows.append(row)
        return np.stack(rows)

    def take_back(self, n_tokens):
        del self.text[len(self.text) - n_tokens :]


def test_right_guesses_cost_no_step():
    period = [4, 5, 6, 7]
    prompt = period * 3
    model = CountingModel(lambda text: period[len(text) % 4], prompt)
    guesser = Guesser(model, prompt, len(prompt) + 16, 8)
    made, token = [], 4
    for _ in range(16):
        made.append(token)
        token = int(guesser.decode(token).argmax())
    assert made == period * 4
    assert guesser.guesses.n_steps == len(model.widths) < 8
    assert guesser.guesses.n_steps + guesser.guesses.n_right == 16


def test_a_wrong_guess_makes_the_next_one_shorter():
    model = CountingModel(len, [4, 5, 6, 7, 8, 9] * 2)
    guesser = Guesser(model, model.text.copy(), 100, 8)
    for token in (4, 5, 6, 7, 5, 6):
        guesser.decode(token)
    # After 4 one is guessed and right; after 6 three, of which 7 is right; then nothing stood before; then two.
    assert model.widths == [2, 4, 1, 3]


def test_right_guesses_make_the_next_one_longer():
    prompt = list(range(4, 24)) * 2
    model = CountingModel(len, prompt)
    guesser = Guesser(model, prompt, 100, 8)
    for token in range(4, 16):
        guesser.decode(token)
    assert model.widths == [2, 4, 8]


@settings(deadline=None)
@given(
    prompt=st.lists(st.integers(0, 5), min_size=1, max_size=30),
    seed=st.integers(0, 2**32 - 1),
    room=st.integers(1, 30),
    most_at_once=st.integers(1, 8),
)
def test_any_model_makes_the_text_that_it_makes_token_by_token(prompt, seed, room, most_at_once):
    def next_of(text):
        return hash((seed, tuple(text[-2:]))) % 6

    model = CountingModel(next_of, prompt)
    guesser = Guesser(model, prompt, len(prompt) + room, most_at_once)
    text, token = list(prompt), next_of(prompt)
    for _ in range(room):
        text.append(token)
        token = int(guesser.decode(token).argmax())
        assert token == next_of(text)
        assert len(model.text) <= len(prompt) + room
    assert max(model.widths) <= most_at_once


def greedy(engine, model_dir, prompt, n_tokens):
    engine.load(Path(model_dir), 2, no_progress)
    logits, made = engine.prefill(prompt, len(prompt) + n_tokens), []
    for _ in range(n_tokens):
        made.append(int(logits.argmax()))
        logits = engine.decode(made[-1])
    return made


@pytest.mark.parametrize(("plain", "guessing"), [(FusedInt8, FusedInt8Lookup), (KvCache, KvCacheLookup)])
def test_lookup_makes_the_same_tokens_in_fewer_steps(tiny_llama, tiny_gpt2, plain, guessing):
    for model in (tiny_llama, tiny_gpt2):
        prompt = [5, 9, 7, 5, 9, 7, 5]
        expected = greedy(plain(), model.directory, prompt, 48)
        engine = guessing()
        assert greedy(engine, model.directory, prompt, 48) == expected
        assert isinstance(engine, GuessingEngine)
        assert engine.guesses.n_steps + engine.guesses.n_right == 48
        assert engine.guesses.n_right > 0  # a tiny model soon repeats itself
        engine.close()
