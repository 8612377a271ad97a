"""Whether a method will fit into memory, short for a table and with its numbers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuibench.core import format as fmt

if TYPE_CHECKING:
    from tuibench.models.memory_needs import Fit
    from tuibench.ui.text.columns import Cell


def mark(fit: Fit | None) -> Cell:
    """Return what a table says: nothing where a method fits, or nobody knows."""
    if fit is None:
        return ""
    if fit.lacking_bytes:
        return "does not fit", "$error"
    return ("memory is tight", "$warning") if fit.is_tight else ""


def in_words(fit: Fit) -> str:
    """Return what a method takes, what is free, and what follows."""
    need = fit.need
    mapped = f"; {fmt.size(need.mapped)} of it is mapped from files and can be given back" if need.mapped else ""
    taken = f"takes about {fmt.size(need.run)} of memory{mapped}; {fmt.size(fit.free_bytes)} is free"
    if need.prepare is not None:
        taken += f"; making its files, once, takes {fmt.size(need.prepare)}"
    if lacking := fit.lacking_bytes:
        return f"{taken}. It does not fit: {fmt.size(lacking)} more would have to be free"
    if lacking := fit.lacking_to_prepare_bytes:
        return f"{taken}. Its files can be made where {fmt.size(lacking)} more is free"
    return taken
