"""What one method of one run achieved, and against what: the row that every table, plot and verdict is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tuibench.core.machine.validity import Lamp
from tuibench.core.results.metrics import Metric
from tuibench.core.results.roofline import Roofline
from tuibench.core.results.same_model import MOST_KLD
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.statistics.stats import Estimate, Ratio

REFERENCE = "kv-cache"
"""The FP32 method that quality and text are compared with."""

NEGLIGIBLE_KLD = MOST_KLD
"""Nats per token: below it lies the rounding of another order of summation, which makes no method the better one."""


@dataclass(frozen=True, slots=True)
class Speedup:
    """A decode speed relative to another row's."""

    method: str
    """The other row's method."""
    ratio: Ratio


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a greedy output follows the reference's."""

    first_divergence: int | None
    """Index of the first token that differs; None: none does."""
    n_compared: int
    """Tokens that both have."""
    unit: Literal["token", "character"] = "token"
    """What both are counted in: characters where one of the methods hands out text and no tokens."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method of one run."""

    run: int
    """Index into `Comparison.runs`."""
    method: str
    n_trials: int
    """Measured trials that went well."""
    metrics: Mapping[str, Estimate]
    """By metric id; a metric that no trial has is missing."""
    itl_ns: Mapping[float, float | None]
    """Percentiles of the gaps between tokens, all trials together; None where they are too few (MLPerf's rule), and of
    a method whose tokens do not come one by one."""
    step: Speedup | None = None
    """Gain over the nearest measured rung below."""
    total: Speedup | None = None
    """Gain over the lowest measured rung below."""
    against_yardstick: Speedup | None = None
    """Gain over the comparison's yardstick; None in a run that did not measure it, whose speeds were of another day."""
    vs_first_session: Ratio | None = None
    """Speed relative to the same method in the run that this one is held against; None in that run itself."""
    quality: QualityRecord | None = None
    """With a failed record, why there are no figures."""
    agreement: Agreement | None = None
    """None for the reference itself, without it, and where tokens were drawn at random."""
    roofline: Roofline | None = None
    """How much of the machine's read bandwidth decoding used; None unless bytes and bandwidth are known."""
    failure: TrialRecord | None = None
    """The latest failed trial."""
    lamp: Lamp | None = None
    """The worst of its trials; None where none was judged."""
    flags: tuple[str, ...] = ()
    """Reasons to distrust the row, each once."""
    doubts: tuple[str, ...] = ()
    """Those of them that are about what was done, not about what disturbed it."""
    not_same_model: str | None = None
    """Why an FP32 method fails the test of being the reference's model; None where it does not."""
    best_for_its_quality: bool = False
    """Whether no other row of the run is both as fast and as close to the reference."""

    def median(self, metric: Metric) -> float | None:
        """Return the median of a metric; None where no trial has it."""
        found = self.metrics.get(metric.id)
        return found.median if found else None

    @property
    def kld(self) -> float | None:
        """Mean KL divergence from the reference, in nats per token."""
        return self.quality.kld_mean if self.quality and not self.quality.failed else None

    def is_within(self, max_kld: float) -> bool:
        """Return whether it is known to diverge by no more than that from the reference, which it may be itself."""
        return self.method == REFERENCE or (self.kld is not None and self.kld <= max_kld)

    @property
    def writes_the_same(self) -> bool:
        """Whether it writes what the reference writes, by predictions that differ by rounding only."""
        if self.method == REFERENCE:
            return True
        same_text = self.agreement is not None and self.agreement.first_divergence is None
        return same_text and (self.kld is None or self.kld <= NEGLIGIBLE_KLD)
