import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuibench.core.spec import Sampling
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
