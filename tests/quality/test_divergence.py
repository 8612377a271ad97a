"""The figures against the formulas of llama-perplexity, written out one position at a time in float64."""

import math

import numpy as np
import pytest
from scipy.special import log_softmax as log_softmax_of_scipy
from scipy.special import rel_entr, softmax

from tuibench.quality.divergence import Divergence, NotFiniteError, log_softmax
from tuibench.quality.scoring import score_text
from tuibench.quality.windows import windows_of


def figures(reference, ours, targets, block=7):
    divergence = Divergence()
    for start in range(0, len(targets), block):
        rows = slice(start, start + block)
        divergence.add(log_softmax(reference[rows]), ours[rows].copy(), targets[rows])
    return divergence.figures()


def by_hand(reference, ours, targets):
    """`log_softmax`, `kl_divergence` and `mean_and_uncertainty` of llama.cpp's perplexity.cpp, without its 16 bits."""
    sums = dict.fromkeys(("nll", "nll2", "kld", "kld2", "dp", "dp2", "dp4", "same"), 0.0)
    klds = []
    for p_logits, q_logits, target in zip(reference.astype(float), ours.astype(float), targets, strict=True):
        log_p = [x - math.log(sum(math.exp(y) for y in p_logits)) for x in p_logits]
        log_q = [x - math.log(sum(math.exp(y) for y in q_logits)) for x in q_logits]
        kld = sum(math.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True))
        nll, dp = -log_q[target], math.exp(log_q[target]) - math.exp(log_p[target])
        klds.append(kld)
        for key, value in (("nll", nll), ("nll2", nll**2), ("kld", kld), ("kld2", kld**2)):
            sums[key] += value
        for key, value in (("dp", dp), ("dp2", dp**2), ("dp4", dp**4)):
            sums[key] += value
        sums["same"] += log_p.index(max(log_p)) == log_q.index(max(log_q))
    n = len(targets)

    def mean(first, second):
        average = sums[first] / n
        return average, math.sqrt((sums[second] / n - average**2) / (n - 1))

    nll, nll_se = mean("nll", "nll2")
    mse, mse_se = mean("dp2", "dp4")
    top1 = sums["same"] / n
    klds.sort()
    place = 0.99 * (n - 1)
    below = int(place)
    return {
        "n_scored": n,
        "perplexity": math.exp(nll),
        "perplexity_se": math.exp(nll) * nll_se,
        "kld_mean": mean("kld", "kld2")[0],
        "kld_mean_se": mean("kld", "kld2")[1],
        "kld_median": (klds[n // 2] + klds[n // 2 - 1]) / 2 if n % 2 == 0 else klds[n // 2],
        "kld_p99": klds[below] + (place - below) * (klds[min(below + 1, n - 1)] - klds[below]),
        "kld_max": klds[-1],
        "delta_p_mean": mean("dp", "dp2")[0],
        "delta_p_mean_se": mean("dp", "dp2")[1],
        "delta_p_rms": math.sqrt(mse),
        "delta_p_rms_se": 0.5 / math.sqrt(mse) * mse_se,
        "top1": top1,
        "top1_se": math.sqrt(top1 * (1 - top1) / (n - 1)),
    }


@pytest.mark.parametrize(("n", "noise"), [(40, 0.5), (41, 0.01)])
def test_figures_are_those_of_llama_perplexity(n, noise):
    random = np.random.default_rng(1)
    reference = random.normal(0, 3, (n, 300)).astype(np.float32)
    ours = (reference + random.normal(0, noise, reference.shape)).astype(np.float32)
    targets = random.integers(0, 300, n)
    found = figures(reference, ours, targets)
    for name, expected in by_hand(reference, ours, targets).items():
        assert getattr(found, name) == pytest.approx(expected, rel=2e-3, abs=2e-7), name


class Kept:
    def __init__(self, logits):
        self.kept = logits

    def logits(self, start, end):
        return self.kept[start:end].copy()


def test_long_windows_are_compared_part_by_part_and_told_by_position():
    random, vocabulary = np.random.default_rng(4), 12
    tokens = random.integers(0, vocabulary, 2 * 1100 + 7)
    windows = windows_of([int(token) for token in tokens], opening=(), context_window=None, window_tokens=1100)
    assert (len(windows.tokens), windows.depths) == (2, (256, 512, 1024))
    theirs = random.normal(0, 3, (2, 1100, vocabulary)).astype(np.float32)
    noise = np.linspace(0.01, 0.5, 1100)[:, None]
    ours = (theirs + noise * random.normal(0, 1, theirs.shape)).astype(np.float32)
    whole = dict(zip(windows.tokens, ours, strict=True))

    def predict(window):
        for start in range(0, 1100, 90):
            yield whole[window][start : start + 90]

    counted = slice(windows.first, -1)
    reference = Kept(theirs[:, counted].reshape(-1, vocabulary))
    found = score_text(predict, windows, reference, lambda *_: None)
    targets = np.array(windows.tokens)[:, 1:]
    for place, (start, end) in enumerate([(256, 512), (512, 1024), (1024, 1099)]):
        parts = (part[:, start:end].reshape(-1, vocabulary) for part in (theirs, ours))
        expected = by_hand(*parts, targets[:, start:end].ravel())
        assert found.depth_klds[place] == pytest.approx(expected["kld_mean"], rel=2e-3, abs=2e-7)
        assert found.depth_kld_ses[place] == pytest.approx(expected["kld_mean_se"], rel=2e-3, abs=2e-7)
        assert found.depth_top1s[place] == pytest.approx(expected["top1"])
    everything = by_hand(
        *(part[:, counted].reshape(-1, vocabulary) for part in (theirs, ours)), targets[:, 256:].ravel()
    )
    assert found.kld_mean == pytest.approx(everything["kld_mean"], rel=2e-3)
    assert (found.window_tokens, found.depths) == (1100, windows.depths)


def test_a_shift_of_all_logits_changes_nothing():
    logits = np.random.default_rng(2).normal(0, 3, (30, 200)).astype(np.float32)
    found = figures(logits, logits + np.float32(4), np.zeros(30, int))
    assert found.kld_max < 1e-6
    assert found.top1 == 1
    assert found.delta_p_rms < 1e-6


def test_probabilities_of_large_logits_do_not_overflow():
    logits = np.array([[1e4, 0, -1e4]], np.float32)
    assert np.exp(log_softmax(logits)).tolist() == [[1, 0, 0]]


def rows(**of_token_4):
    """Return equal logits of three positions; in the second, token 4 has another."""
    logits = np.zeros((3, 10), np.float32)
    logits[1, 4] = of_token_4.get("at_4", 0)
    return logits


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("of_reference", [0, -np.inf])
def test_logits_that_are_not_numbers_are_an_error(value, of_reference):
    with pytest.raises(NotFiniteError, match="logits are not finite"):
        Divergence().add(rows(at_4=of_reference), rows(at_4=value), np.zeros(3, np.int64))


def test_a_reference_that_is_not_a_number_is_not_blamed_on_the_method():
    with pytest.raises(NotFiniteError, match="the reference's logits"):
        Divergence().add(rows(at_4=np.nan), rows(), np.zeros(3, np.int64))


def test_a_row_that_rules_everything_out_is_an_error():
    with pytest.raises(NotFiniteError, match="logits are not finite"):
        Divergence().add(rows(), np.full((3, 10), -np.inf, np.float32), np.zeros(3, np.int64))


@pytest.mark.parametrize("ours_too", [True, False])
def test_tokens_that_the_reference_rules_out_add_nothing(ours_too):
    """A vocabulary padded to a round size, its padding masked."""
    random = np.random.default_rng(3)
    reference = random.normal(0, 3, (20, 304)).astype(np.float32)
    ours = (reference + random.normal(0, 0.5, reference.shape)).astype(np.float32)
    reference[:, 300:] = -np.inf
    ours[:, 300:] = -np.inf if ours_too else -2
    targets = random.integers(0, 300, 20)
    found = figures(reference, ours, targets)
    klds = rel_entr(softmax(reference.astype(float), axis=1), softmax(ours.astype(float), axis=1)).sum(axis=1)
    assert found.kld_mean == pytest.approx(klds.mean(), rel=1e-5)
    assert found.kld_max == pytest.approx(klds.max(), rel=1e-5)
    nll = -log_softmax_of_scipy(ours.astype(float), axis=1)[range(20), targets]
    assert found.perplexity == pytest.approx(math.exp(nll.mean()), rel=1e-5)


def test_a_token_that_only_the_method_rules_out_makes_the_divergence_infinite():
    """`rel_entr` says so, too."""
    ours = rows(at_4=-np.inf)
    assert np.isposinf(rel_entr(softmax(rows(), axis=1), softmax(ours, axis=1)).sum(axis=1)).tolist() == [0, 1, 0]
    with pytest.raises(NotFiniteError, match="gives 10 %: the divergence is infinite"):
        Divergence().add(rows(), ours, np.zeros(3, np.int64))


def test_a_token_that_only_the_method_rules_out_is_left_out_where_llama_cpp_leaves_it_out():
    """Its 16 bits end at e^-16: `if (p_log_base > -16.f)`."""
    found = figures(rows(at_4=-14.0), rows(at_4=-np.inf), np.zeros(3, np.int64))  # e^-14 of 9
    assert found.kld_max == pytest.approx(0, abs=1e-6)
    with pytest.raises(NotFiniteError, match="divergence is infinite"):
        figures(rows(at_4=-13.0), rows(at_4=-np.inf), np.zeros(3, np.int64))


def test_a_token_of_the_text_that_the_method_rules_out_makes_perplexity_infinite():
    with pytest.raises(NotFiniteError, match="perplexity is infinite"):
        Divergence().add(rows(at_4=-np.inf), rows(at_4=-np.inf), np.full(3, 4))
