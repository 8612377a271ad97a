"""Prompt lookup: what it guesses, and that the text never depends on the guesses."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_onnx_models import MAKERS
from tuibench.engines.base import GuessingEngine
from tuibench.engines.fused.engine import FusedInt8, FusedInt8Lookup
from tuibench.engines.lookup import Drafter, Policy, PromptLookup
from tuibench.engines.torch.eager import KvCache
from tuibench.engines.torch.lookup import KvCacheLookup


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
    """The logits after a token favour `next_of[all tokens so far]`; notes what was processed, and how long it took."""

    def __init__(self, next_of, prompt, cost=lambda n_tokens: 1 + 0.1 * (n_tokens - 1)):
        self.next_of, self.text, self.widths, self.cost, self.time_ns = next_of, list(prompt), [], cost, 0

    def clock(self):
        return self.time_ns

    def append(self, token_ids):
        self.widths.append(len(token_ids))
        self.time_ns += int(1000 * self.cost(len(token_ids)))
        rows = []
        for token in token_ids:
            self.text.append(token)
            row = np.zeros(50, np.float32)
            row[self.next_of(self.text) % row.size] = 1
            rows.append(row)
        return np.stack(rows)

    def rollback(self, n_tokens):
        del self.text[len(self.text) - n_tokens :]


def generate(model, prompt, first, n_tokens):
    guesser = Drafter(model, prompt, len(prompt) + n_tokens, 8, model.clock)
    made, token = [], first
    for _ in range(n_tokens):
        made.append(token)
        token = int(guesser.decode(token).argmax())
    return made, guesser


def test_right_guesses_cost_no_step():
    period = [4, 5, 6, 7]
    prompt = period * 3
    model = CountingModel(lambda text: period[len(text) % 4], prompt)
    made, guesses = generate(model, prompt, 4, 32)
    assert made == period * 8
    assert guesses.n_steps == len(model.widths) < 16
    assert guesses.n_steps + guesses.n_accepted == 32


def test_a_text_that_repeats_itself_is_made_in_the_widest_steps():
    prompt = list(range(4, 24)) * 2
    model = CountingModel(lambda text: 4 + len(text) % 20, prompt)
    generate(model, prompt, 4, 60)
    assert model.widths[0] == 1  # nothing is known yet
    assert max(model.widths) == 8


def unforeseen(text):
    """Pairs that have stood before, each time with another follower."""
    return [4, 5, 6 + len(text) // 3][len(text) % 3]


def test_a_text_that_is_never_guessed_right_costs_hardly_more_than_one_token_at_a_time():
    prompt = [4, 5, 6]
    model = CountingModel(unforeseen, prompt, cost=float)  # eight tokens at once cost as much as eight steps
    made, guesses = generate(model, prompt, 4, 60)
    assert guesses.n_accepted < 3
    assert model.time_ns <= 1.05 * 60_000
    assert made[:6] == [4, 5, 7, 4, 5, 8]


def test_wide_steps_that_cost_as_much_as_single_ones_are_given_up_even_where_guesses_are_right():
    period = [4, 5, 6, 7]
    model = CountingModel(lambda text: period[len(text) % 4], period * 3, cost=lambda n: n + 0.5 * (n > 1))
    generate(model, period * 3, 4, 64)
    assert set(model.widths[-30:]) == {1}


def test_dear_tokens_are_guessed_only_where_it_is_likely_enough():
    policy = Policy()
    for n_tokens, time_ns in (*[(1, 180)] * 2, *[(1, 100)] * 3, *[(2, 190), (8, 400)] * 2):  # the first ones are slow
        policy.took(n_tokens, time_ns)
    for _ in range(8):
        policy.saw(right=False)
    assert policy.n_guesses(7) == 0
    for _ in range(30):
        policy.saw(right=True)
    assert policy.n_guesses(7) == 7
    policy.saw(right=False)
    assert policy.n_guesses(7) == 0


def test_nothing_is_guessed_before_steps_have_been_timed():
    policy = Policy()
    assert [policy.took(1, 100) or policy.n_guesses(7) > 0 for _ in range(5)] == [False, False, False, False, True]


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
    guesser = Drafter(model, prompt, len(prompt) + room, most_at_once)
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


@pytest.mark.parametrize("kind", ["gemma4-told-again", "gpt-oss"])
def test_lookup_makes_the_same_tokens_where_layers_differ(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(Policy, "n_guesses", lambda _self, most: most)  # whatever steps take on this machine
    directory, prompt = MAKERS[kind](tmp_path / kind), [5, 9, 7, 5, 9, 7, 5]
    engine = FusedInt8Lookup()
    assert greedy(engine, directory, prompt, 48) == greedy(FusedInt8(), directory, prompt, 48)
    assert engine.guesses.n_guessed > 0
    engine.close()


@pytest.mark.parametrize(("plain", "guessing"), [(FusedInt8, FusedInt8Lookup), (KvCache, KvCacheLookup)])
def test_lookup_makes_the_same_tokens_in_fewer_steps(tiny_llama, tiny_gpt2, plain, guessing, monkeypatch):
    monkeypatch.setattr(Policy, "n_guesses", lambda _self, most: most)  # whatever steps take on this machine
    for model in (tiny_llama, tiny_gpt2):
        prompt = [5, 9, 7, 5, 9, 7, 5]
        expected = greedy(plain(), model.directory, prompt, 48)
        engine = guessing()
        assert greedy(engine, model.directory, prompt, 48) == expected
        assert isinstance(engine, GuessingEngine)
        assert engine.guesses.n_steps + engine.guesses.n_accepted == 48
        assert engine.guesses.n_accepted > 0  # a tiny model soon repeats itself
        engine.close()
