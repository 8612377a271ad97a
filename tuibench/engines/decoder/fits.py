"""Whether a method fits into memory, asked before anything is built: a kill later would say nothing."""

from __future__ import annotations

from pathlib import Path

from tuibench.machine.memory_room import free_memory_bytes
from tuibench.models.memory_needs import Fit, need_of
from tuibench.models.model_size import size_of


class NotEnoughMemoryError(Exception):
    """A method needs more memory than is free; the message has both numbers."""


def check_fits(method: str, model_dir: Path, *, preparing: bool = False) -> None:
    """Refuse a method that would be killed for its memory; what nobody can tell beforehand is let through.

    Args:
        method: Its name.
        model_dir: The model.
        preparing: Whether its files are about to be made, instead of the method being loaded.

    Raises:
        NotEnoughMemoryError: It takes more than is free.
        ModelError: The model's files cannot be read.
    """
    need = need_of(method, size_of(model_dir), 0)
    refusal = None if need is None else Fit(need, free_memory_bytes()).refusal(method, preparing=preparing)
    if refusal is not None:
        raise NotEnoughMemoryError(refusal)
