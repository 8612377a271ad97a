"""`tuibench methods`: what can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuibench.core.format import MISSING, printable
from tuibench.methods import available_methods

if TYPE_CHECKING:
    import argparse


def run(_: argparse.Namespace) -> int:
    """Print one line per method, in ladder order; of those that cannot be used, why."""
    methods = available_methods().values()
    width = max((len(printable(method.id)) for method in methods), default=0)
    for method in methods:
        improves = f" (after {method.parent})" if method.parent else ""
        precision = f"{MISSING:4}" if method.problem else method.precision
        print(f"{printable(method.id):{width}}  {precision}  {method.explanation}{printable(improves)}")
    return 0
