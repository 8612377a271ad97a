"""How many CPUs a measurement may really use, and how many threads are right for them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EffectiveCpus:
    """What of the machine's processors belongs to this process."""

    n_machine: int
    """Logical CPUs of the machine."""
    n_allowed: int
    """Logical CPUs that the affinity mask (or cpuset) allows."""
    n_cores: int
    """Physical cores that those belong to."""
    quota: float | None
    """CPUs' worth of time that the control groups allow; None without a limit."""

    @property
    def smt(self) -> bool:
        """Whether several of the allowed CPUs are one core's hardware threads."""
        return self.n_allowed > self.n_cores

    @property
    def binding_quota(self) -> float | None:
        """The quota where it allows less than the mask: CPUs' worth of time that are ours then; else None."""
        return self.quota if self.quota is not None and self.quota < self.n_allowed else None

    @property
    def n_usable(self) -> int:
        """Threads that can run at the same time, one at least."""
        return self._within_quota(self.n_allowed)

    @property
    def n_threads(self) -> int:
        """Threads that decoding wants: one per physical core, and none that the quota would stop in mid-token."""
        return self._within_quota(self.n_cores)

    def _within_quota(self, n: int) -> int:
        return max(1, n if self.quota is None else min(n, math.floor(self.quota)))

    def doubt(self, n_threads: int) -> tuple[str, bool] | None:
        """Return what is wrong with a thread count and whether it ruins figures; None if nothing is."""
        if n_threads > self.n_usable:
            limit = f" (quota: {self.quota:.3g} CPUs)" if self.quota is not None else ""
            return f"{n_threads} threads on {self.n_usable} usable CPUs{limit}", True
        if n_threads > self.n_threads:
            return f"{n_threads} threads on {self.n_threads} usable physical cores", False
        return None
