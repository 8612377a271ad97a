"""Engines whose library picks the tokens: they are told beforehand what may be picked, as the sampler is."""

from __future__ import annotations

from collections.abc import Collection

from tuibench.core.run.spec import Sampling
from tuibench.engines.base import Engine, SelfPickingEngine, UnsupportedModelError


def tell_sampling(engine: Engine, sampling: Sampling, banned: Collection[int]) -> None:
    """Tell an engine that picks the tokens itself how that is done; any other picks nothing.

    Args:
        engine: The loaded one.
        sampling: How tokens are picked.
        banned: Those that never are.

    Raises:
        UnsupportedModelError: It cannot pick so.
    """
    if not isinstance(engine, SelfPickingEngine):
        return
    if not sampling.greedy:
        raise UnsupportedModelError(
            f"{engine.method.title} picks each token itself, and is asked for the most likely ones only: "
            "leave the temperature at 0"
        )
    engine.pick_without(banned)
