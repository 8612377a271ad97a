"""What a method is an improvement on: the rungs below it, and the one that all others are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tuibench.core.results.row import REFERENCE
from tuibench.core.run.control import is_control, method_of
from tuibench.core.run.needs import Need, lacks


def nearest_rungs(method: str, parents: Mapping[str, str | None]) -> Iterator[str]:
    """Yield the rungs below a method, nearest first; a control's nearest is the method that it measures again."""
    if is_control(method):
        method = method_of(method)
        yield method
    seen = {method}
    while (below := parents.get(method)) is not None and below not in seen:
        yield below
        seen.add(below)
        method = below


def default_yardstick(methods: Iterable[str], parents: Mapping[str, str | None]) -> str | None:
    """Return the method that others are compared with unless somebody names another; None without methods."""
    given = dict.fromkeys(method for method in methods if not is_control(method))
    if REFERENCE in given:
        return REFERENCE
    # A server of which nobody knows what it computes is compared with only where there is nothing else.
    known = [method for method in given if not lacks(method, Need.PREDICTIONS)] or list(given)
    return next((each for each in known if not any(rung in known for rung in nearest_rungs(each, parents))), None)
