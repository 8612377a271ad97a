import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import chisquare
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from tuibench.core.run.spec import Sampling
from tuibench.worker.sampling import NonFiniteLogitsError, Sampler


def logits(*values):
    return np.array(values, dtype=np.float32)


def test_greedy_picks_the_highest_that_is_not_banned():
    assert Sampler(Sampling()).pick(logits(1, 5, 3)) == 1
    assert Sampler(Sampling(), banned={1}).pick(logits(1, 5, 3)) == 2


@pytest.mark.parametrize("values", [(np.nan, 1, 2), (np.inf, 1, 2), (-np.inf, -np.inf, -np.inf)])
def test_logits_that_are_no_numbers_are_refused(values):
    with pytest.raises(NonFiniteLogitsError):
        Sampler(Sampling()).pick(logits(*values))


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others():
    def draw(seed):
        sampler = Sampler(Sampling(temperature=1.0, seed=seed))
        return [sampler.pick(np.linspace(0, 1, 50, dtype=np.float32)) for _ in range(30)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@given(st.integers(1, 5), st.integers(0, 2**31))
def test_top_k_never_picks_outside_the_k_best(k, seed):
    sampler = Sampler(Sampling(temperature=5.0, top_k=k, seed=seed))
    assert {sampler.pick(logits(0, 1, 2, 3, 4, 5)) for _ in range(20)} <= set(range(6 - k, 6))


def test_top_p_keeps_the_token_that_crosses_p():
    probabilities = np.array([0.5, 0.3, 0.15, 0.05])
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.6))
    picked = {sampler.pick(np.log(probabilities).astype(np.float32)) for _ in range(300)}
    assert picked == {0, 1}


def test_temperature_follows_the_softmax():
    sampler = Sampler(Sampling(temperature=2.0, seed=3))
    values = logits(0, 2)
    share = np.mean([sampler.pick(values.copy()) for _ in range(4000)])
    assert share == pytest.approx(1 / (1 + np.exp(-1)), abs=0.03)  # softmax([0, 1])[1]


def sorting_everything(logits, sampling, n):
    """Return the tokens that sorting the whole vocabulary and NumPy's `choice` give."""
    random = np.random.default_rng(sampling.seed)
    order = np.argsort(-logits, kind="stable")[: sampling.top_k or None]
    probabilities = softmax(logits[order].astype(float) / sampling.temperature)
    if sampling.top_p < 1:
        order = order[: np.searchsorted(np.cumsum(probabilities), sampling.top_p) + 1]
        probabilities = probabilities[: len(order)] / probabilities[: len(order)].sum()
    return [int(random.choice(order, p=probabilities)) for _ in range(n)]


SETTINGS = [
    {},
    {"top_k": 1},
    {"top_k": 40},
    {"top_k": 5000},
    {"top_k": 10**6},
    {"top_p": 0.1},
    {"top_p": 0.95},
    {"top_p": 0.9999},
    {"top_k": 300, "top_p": 0.5},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("temperature", [0.01, 0.7, 1.0, 50.0])
@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_tokens_are_those_that_sorting_the_whole_vocabulary_gives(settings, temperature, spread):
    values = np.random.default_rng(4).permutation(np.random.default_rng(5).normal(0, spread, 20_000)).astype(np.float32)
    sampling = Sampling(temperature=temperature, seed=6, **settings)
    sampler = Sampler(sampling)
    assert [sampler.pick(values.copy()) for _ in range(40)] == sorting_everything(values, sampling, 40)


@pytest.mark.parametrize("settings", [{}, {"top_k": 5}, {"top_p": 0.4}, {"top_k": 7, "top_p": 0.8}])
def test_the_distribution_is_that_of_transformers(settings):
    values = np.random.default_rng(7).normal(0, 2, 12).astype(np.float32)
    warpers = LogitsProcessorList([TemperatureLogitsWarper(0.8)])
    if "top_k" in settings:
        warpers.append(TopKLogitsWarper(settings["top_k"]))
    if "top_p" in settings:
        warpers.append(TopPLogitsWarper(settings["top_p"]))
    expected = torch.softmax(warpers(None, torch.tensor(values)[None]), dim=-1)[0].double().numpy()
    sampler = Sampler(Sampling(temperature=0.8, seed=8, **settings))
    n = 4000
    found = np.bincount([sampler.pick(values.copy()) for _ in range(n)], minlength=12)
    assert set(np.flatnonzero(found)) <= set(np.flatnonzero(expected))
    kept = expected > 0
    if kept.sum() > 1:
        assert chisquare(found[kept], n * expected[kept] / expected[kept].sum()).pvalue > 0.01


@pytest.mark.parametrize("settings", [{"top_k": 3}, {"top_p": 0.001}, {}])
def test_of_equal_logits_the_lower_token_comes_first(settings):
    sampling = Sampling(temperature=1.0, seed=9, **settings)
    sampler, values = Sampler(sampling), np.zeros(1000, np.float32)
    assert [sampler.pick(values.copy()) for _ in range(20)] == sorting_everything(values, sampling, 20)


def test_a_vocabulary_is_not_sorted_as_a_whole(monkeypatch):
    """Sorting 150,000 logits costs more than a small model's step."""
    sorted_sizes = []
    argsort = np.argsort
    monkeypatch.setattr(np, "argsort", lambda values, **how: sorted_sizes.append(len(values)) or argsort(values, **how))
    values = np.random.default_rng(10).normal(0, 5, 150_000).astype(np.float32)
    for settings in ({"top_k": 50}, {"top_p": 0.95}, {"top_k": 50, "top_p": 0.95}):
        Sampler(Sampling(temperature=0.7, **settings)).pick(values.copy())
    assert len(sorted_sizes) == 3
    assert max(sorted_sizes) < 1000
