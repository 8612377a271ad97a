"""Rotary embeddings whose frequencies depend on how long the text is: LongRoPE and dynamic NTK.

A key in a cache keeps the rotation of the length at which it was computed. Once the length asks for other frequencies,
a pass over the whole text would rotate all keys anew, and so must whoever keeps them.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

_LONGROPE, _DYNAMIC = "longrope", "dynamic"


class Rotation:
    """The frequencies that a model uses at each length."""

    def __init__(self, modules: list[Any], config: Any) -> None:  # noqa: ANN401 - transformers' own
        self._modules = modules
        self._switches = [length for module in modules for length in _switching_lengths(module, config)]
        self._changes = [module.original_max_seq_len for module in modules if _DYNAMIC in _kinds(module)]

    def at(self, length: int) -> Hashable:
        """Return something that is equal for two lengths exactly where their frequencies are."""
        return (
            *(length > switch for switch in self._switches),
            *(max(length, original) for original in self._changes),
        )

    def begin(self) -> None:
        """Forget earlier texts: dynamic frequencies only ever grow, until a text as short as the original window."""
        import torch

        for module in self._modules:
            if _DYNAMIC in _kinds(module):
                first = torch.zeros(1, 1, dtype=torch.long)
                for kind in _layer_types(module):
                    module(torch.zeros(1), first, **({} if kind is None else {"layer_type": kind}))


def context_window(config: Any) -> int | None:  # noqa: ANN401 - transformers' own
    """Return the most tokens that a model takes; None where it does not say.

    Dynamic NTK is the one kind whose `max_position_embeddings` is the window before the extension.
    """
    window: int | None = getattr(config, "max_position_embeddings", None)
    parameters = getattr(config, "rope_parameters", None) or {}
    if window is not None and parameters.get("rope_type") == _DYNAMIC:
        return int(window * parameters["factor"])
    return window


def find_rotation(model: Any) -> Rotation | None:  # noqa: ANN401 - transformers' own
    """Return how a model's frequencies change with the length; None where they do not."""
    modules = [module for module in model.modules() if _kinds(module) & {_LONGROPE, _DYNAMIC}]
    return Rotation(modules, model.config.get_text_config()) if modules else None


def _kinds(module: Any) -> set[str]:  # noqa: ANN401 - transformers' own
    kinds = getattr(module, "rope_type", None)
    return set(kinds.values()) if isinstance(kinds, dict) else {kinds} if isinstance(kinds, str) else set()


def _layer_types(module: Any) -> list[str | None]:  # noqa: ANN401 - transformers' own
    return list(module.rope_type) if isinstance(module.rope_type, dict) else [None]


def _switching_lengths(module: Any, config: Any) -> list[int]:  # noqa: ANN401 - transformers' own
    if _LONGROPE not in _kinds(module):
        return []
    parameters = config.rope_parameters
    parts = [parameters] if isinstance(module.rope_type, str) else [parameters[kind] for kind in module.rope_type]
    return [part["original_max_position_embeddings"] for part in parts if part.get("rope_type") == _LONGROPE]
