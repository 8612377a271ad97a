"""`tuibench methods`: what can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuibench.methods import available_methods

if TYPE_CHECKING:
    import argparse


def run(_: argparse.Namespace) -> int:
    """Print one line per method, in ladder order."""
    methods = available_methods().values()
    width = max((len(method.id) for method in methods), default=0)
    for method in methods:
        improves = f" (after {method.parent})" if method.parent else ""
        print(f"{method.id:{width}}  {method.precision}  {method.explanation}{improves}")
    return 0
