"""The figures, from predictions of the same positions by the reference and by a method.

Definitions are those of `llama-perplexity --kl-divergence` (llama.cpp, `tools/perplexity/perplexity.cpp`), except that
the divergence is summed over the whole vocabulary: llama.cpp leaves out tokens to which its 16-bit reference gives less
than e⁻¹⁶, which this reference resolves.

A logit of −∞ rules a token out: padded vocabularies and masks do that. Ruled out by both, or by the reference alone, it
adds nothing, as p log p does at 0. Ruled out by the method alone, the divergence is infinite (`scipy.special.rel_entr`
says the same) and there are no figures, unless the reference gives the token so little that llama.cpp leaves it out.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuibench.core.run.events import QualityFigures
from tuibench.quality.windows import Windows

LogProbs = NDArray[np.float32]
"""Natural logarithms of probabilities, `[positions, vocabulary]`."""

_ROWS_AT_ONCE = 2
"""So few that three arrays of them stay in a core's second-level cache: 1.2 MB for 49,152 tokens."""


_NEGLIGIBLE = math.exp(-16)
"""Probability in the reference up to which a token that only the method rules out is left out."""


class NotFiniteError(ArithmeticError):
    """A figure is not a finite number, so nothing can be said about the method but why."""


def log_softmax(logits: NDArray[np.float32]) -> LogProbs:
    """Return the logarithms of the probabilities that logits stand for."""
    shifted: LogProbs = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True, dtype=np.float64)
    shifted -= np.log(total).astype(np.float32)
    return shifted


class Divergence:
    """Collects one method's differences from the reference, position by position."""

    def __init__(self) -> None:
        self._nll: list[NDArray[np.float64]] = []
        self._kld: list[NDArray[np.float64]] = []
        self._delta_p: list[NDArray[np.float64]] = []
        self._same_top: list[NDArray[np.bool_]] = []

    def add(self, reference: NDArray[np.float32], logits: NDArray[np.float32], targets: NDArray[np.int64]) -> None:
        """Compare some positions.

        Args:
            reference: The logits that the reference predicts there, or its log-probabilities: a constant added to a
                row makes no difference. Overwritten, like `logits`: copies would cost as much as the comparison.
            logits: What the method predicts there, `[positions, vocabulary]`.
            targets: The tokens that really follow.

        Raises:
            NotFiniteError: A logit is NaN or +∞, or the method rules out what the reference or the text has.
        """
        for start in range(0, len(targets), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            self._add(reference[rows], logits[rows], targets[rows])

    def _add(self, theirs: NDArray[np.float32], ours: NDArray[np.float32], targets: NDArray[np.int64]) -> None:
        """Compare a few rows, with Σ p (log p − log q) written as Σ p (a − b) − log Σ exp a + log Σ exp b."""
        rows = np.arange(len(targets))
        top_of_theirs, top_of_ours = theirs.argmax(axis=1), ours.argmax(axis=1)
        best_of_theirs, best_of_ours = theirs[rows, top_of_theirs], ours[rows, top_of_ours]  # a NaN wins
        for whose, best in (("method", best_of_ours), ("reference", best_of_theirs)):
            if not np.isfinite(best).all():
                raise NotFiniteError(f"the {whose}'s logits are not finite on the evaluation text")
        with np.errstate(invalid="ignore"):  # −∞ of both, subtracted
            theirs -= best_of_theirs[:, None]
            ours -= best_of_ours[:, None]
            of_target = ours[rows, targets].astype(np.float64)
            reference_of_target = theirs[rows, targets].astype(np.float64)
            weights = np.exp(theirs)
            total_of_theirs = weights.sum(axis=1, dtype=np.float64)
            theirs -= ours
            if not np.isfinite(theirs).all():
                _drop_ruled_out(theirs, weights, total_of_theirs)
            weights *= theirs
            kld = weights.sum(axis=1, dtype=np.float64) / total_of_theirs
            total_of_ours = np.exp(ours, out=ours).sum(axis=1, dtype=np.float64)
        kld += np.log(total_of_ours) - np.log(total_of_theirs)
        if np.isneginf(of_target).any():
            raise NotFiniteError("the method rules out a token of the evaluation text: its perplexity is infinite")
        self._kld.append(kld)
        self._nll.append(np.log(total_of_ours) - of_target)
        self._delta_p.append(np.exp(of_target) / total_of_ours - np.exp(reference_of_target) / total_of_theirs)
        self._same_top.append(top_of_ours == top_of_theirs)

    def figures(self, windows: Windows | None = None) -> QualityFigures:
        """Return the figures over everything that was compared.

        Args:
            windows: Whose predictions these are, in their order, so that figures by position can be told.
        """
        kld, delta_p = np.concatenate(self._kld), np.concatenate(self._delta_p)
        nll_mean, nll_se = _mean(np.concatenate(self._nll))
        kld_mean, kld_mean_se = _mean(kld)
        delta_p_mean, delta_p_mean_se = _mean(delta_p)
        delta_p_ms, delta_p_ms_se = _mean(delta_p**2)
        rms = math.sqrt(delta_p_ms)
        n_scored = len(kld)
        same_top = np.concatenate(self._same_top)
        top1 = float(same_top.mean())
        return QualityFigures(
            n_scored=n_scored,
            perplexity=math.exp(nll_mean),
            perplexity_se=math.exp(nll_mean) * nll_se,
            kld_mean=kld_mean,
            kld_mean_se=kld_mean_se,
            kld_median=float(np.median(kld)),
            kld_p99=float(np.quantile(kld, 0.99)),
            kld_max=float(kld.max()),
            delta_p_mean=delta_p_mean,
            delta_p_mean_se=delta_p_mean_se,
            delta_p_rms=rms,
            delta_p_rms_se=0.5 / rms * delta_p_ms_se if rms > 0 else 0.0,
            top1=top1,
            top1_se=math.sqrt(top1 * (1 - top1) / max(n_scored - 1, 1)),
            **_by_depth(windows, kld, same_top),
        )


def _by_depth(windows: Windows | None, kld: NDArray[np.float64], same_top: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the figures by position in the window; nothing where windows are short."""
    if windows is None or not windows.depths:
        return {}
    places = [depth - windows.first for depth in windows.depths]
    bands = [slice(start, end) for start, end in pairwise([*places, windows.n_per_window])]
    klds, tops = kld.reshape(-1, windows.n_per_window), same_top.reshape(-1, windows.n_per_window)
    means = [_mean(klds[:, band].ravel()) for band in bands]
    return {
        "window_tokens": windows.length,
        "depths": windows.depths,
        "depth_klds": tuple(mean for mean, _ in means),
        "depth_kld_ses": tuple(error for _, error in means),
        "depth_top1s": tuple(float(tops[:, band].mean()) for band in bands),
    }


def _drop_ruled_out(log_ratios: NDArray[np.float32], weights: NDArray[np.float32], totals: NDArray[np.float64]) -> None:
    """Have tokens of probability 0 add nothing to the divergence, `Σ weights · log_ratios / totals` of each row.

    Raises:
        NotFiniteError: The method rules out a token that the reference expects.
    """
    by_ours = np.isposinf(log_ratios)
    probability = np.where(by_ours, weights, 0).max(axis=1) / totals
    if (probability > _NEGLIGIBLE).any():
        share = f"{100 * probability.max():.2g} %"
        raise NotFiniteError(
            f"the method rules out a token that the reference gives {share}: the divergence is infinite"
        )
    log_ratios[by_ours | (weights == 0)] = 0


def _mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and its standard error, positions taken as independent, which neighbours are not quite."""
    n = len(values)
    return float(values.mean()), float(values.std() / math.sqrt(max(n - 1, 1)))
