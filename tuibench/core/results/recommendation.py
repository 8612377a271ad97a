"""Which method to take, as it is told: by the rule for everything that was measured, or by that of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.core.results.evidence import Grade

MAX_KLD = 0.05
"""Nats per token: the divergence up to which a method is recommended."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which method to take, and how sure that is."""

    grade: Grade | None
    """None where there is nothing to choose from: nothing or only the reference was measured, or nothing is close
    enough."""
    because: tuple[str, ...]
    """What speaks against a better grade."""
    fastest: str | None
    """The fastest whose divergence is known to be small enough; without quality figures None."""
    identical: str | None
    """The fastest that writes what the reference writes."""
    smallest: str | None
    """The least memory among those whose divergence is small enough."""
    pareto: tuple[str, ...]
    """Those that no other beats in both speed and divergence, fastest first."""
    unjudged: Mapping[str, str]
    """Why a method could not be recommended whatever its speed, by its name."""
    headline: str
    """The choice in a line, its grade first."""
    remarks: tuple[str, ...]
    """What else to know before following it."""

    @property
    def recommended(self) -> str | None:
        """The method that the headline names to be taken; None where it cannot tell."""
        return self.fastest if self.grade in {Grade.TAKE, Grade.PROBABLY} else None

    @property
    def details(self) -> tuple[str, ...]:
        """The remarks and the Pareto set, as text."""
        pareto = (f"Pareto set: {fmt.printable(', '.join(self.pareto))}",) if self.pareto else ()
        return (*self.remarks, *pareto)

    @property
    def sentence(self) -> str:
        """All of it."""
        return "; ".join((self.headline, *self.details))
