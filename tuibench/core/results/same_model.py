"""Whether a method that promises the FP32 model is that model.

Sums in another order differ in their last bits, and where two tokens are almost equally likely the text may then go
another way. A fault in an export or in a cache shows on every position of the evaluation text. Measured on
SmolLM2-135M, 1,020 positions: see `MOST_KLD`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.core.results.metrics import first_divergence
from tuibench.core.run.record import QualityRecord, TrialRecord

MOST_KLD = 1e-4
"""Mean divergence in nats. The FP32 methods were at 4e-9 or below, the nearest quantised one (INT8, blocks of 32) at
4e-3."""
LEAST_TOP1 = 0.995
"""Share of equal most likely tokens. FP32 methods were at 100 %, the nearest quantised one at 96 %."""


@dataclass(frozen=True, slots=True)
class TextAgreement:
    """How far a greedy text follows the reference's."""

    n_equal: int
    """Tokens until the first difference, or until the shorter one ends."""
    n_compared: int
    """Tokens that both have."""
    same_length: bool

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        return self.same_length and self.n_equal == self.n_compared


@dataclass(frozen=True, slots=True)
class SameModel:
    """What is known of it."""

    same: bool | None
    """None: the texts differ, and without quality figures nobody can tell a tie from a fault."""
    reason: str = ""
    """Why it is not; where that is not known, a sentence of doubt. With numbers."""


def text_agreement(ours: TrialRecord, reference: TrialRecord) -> TextAgreement:
    """Compare two greedy texts of one prompt."""
    n_compared = min(ours.n_gen, reference.n_gen)
    index = first_divergence(ours, reference)
    return TextAgreement(n_compared if index is None else index, n_compared, ours.n_gen == reference.n_gen)


def wrong_length(record: TrialRecord, n_asked: int) -> str | None:
    """Return what is wrong with a greedy trial's length, which is forced: only the context window may cut it short."""
    if record.failed or record.n_gen == n_asked or (record.finish_reason == "window" and record.n_gen < n_asked):
        return None
    generated = f"{fmt.counted(record.n_gen, 'token')} {'was' if record.n_gen == 1 else 'were'} generated"
    return f"{generated} where {n_asked} were asked for"


def same_model(
    ours: Sequence[TrialRecord], reference: Sequence[TrialRecord], quality: QualityRecord | None
) -> SameModel:
    """Return whether a method computes the same model as the reference.

    The predictions on the evaluation text decide where they are known: a text may be identical by luck. Else greedy
    texts do.

    Args:
        ours: The method's measured greedy trials of one prompt; empty where sampling was on.
        reference: The reference's.
        quality: The method's figures; None, or a failure, where there are none.
    """
    agreement = text_agreement(ours[0], reference[0]) if ours and reference else None
    if quality is not None and quality.kld_mean is not None and quality.top1 is not None:
        if quality.kld_mean <= MOST_KLD and quality.top1 >= LEAST_TOP1:
            return SameModel(same=True)
        figures = f"mean KLD {quality.kld_mean:.2g} (at most {MOST_KLD:.0e}), top-1 {fmt.percent(quality.top1, 1)}"
        return SameModel(same=False, reason=f"{figures}{_where(agreement)}")
    if agreement is None or agreement.identical:
        return SameModel(same=None if agreement is None else True)
    return SameModel(same=None, reason=f"perhaps not the same model{_where(agreement)}; quality would tell")


def _where(agreement: TextAgreement | None) -> str:
    if agreement is None or agreement.identical:
        return ""
    if agreement.n_equal < agreement.n_compared:
        return f", first other token at {agreement.n_equal} of {agreement.n_compared}"
    return ", texts of different length"
