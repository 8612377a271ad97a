"""Whether sequences that share their steps come out as each does alone: seen on a few tokens before it is relied on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tuibench.engines.base import BatchEngine, Engine
from tuibench.engines.first_steps import MOST_NATS, largest_kld
from tuibench.engines.forward_errors import FORWARD_ERRORS, one_line, raise_if_out_of_memory

_PROMPTS = (5, 8, 2)
"""Their lengths: of its own for each sequence, the longest neither first nor last."""
_N_STEPS = 3


class Sharing(NamedTuple):
    """Whether an engine's sequences share steps."""

    shared: bool
    told: str
    """What a row says of it."""


def check_sharing(engine: Engine, vocabulary: int, window: int | None) -> Sharing:
    """Return whether several users' sequences share their steps, and how far they are then from each alone."""
    if not isinstance(engine, BatchEngine):
        return Sharing(shared=False, told="one after the other: this method has one sequence a step")
    if engine.why_alone is not None:
        return Sharing(shared=False, told=f"one after the other: {engine.why_alone}")
    length = max(_PROMPTS) + _N_STEPS
    if window is not None and window < length:
        return Sharing(shared=False, told="one after the other: the model's window is too short to see more")
    texts = [
        [(17 + 13 * user + 7 * place) % vocabulary for place in range(n_prompt + _N_STEPS)]
        for user, n_prompt in enumerate(_PROMPTS)
    ]
    try:
        error = largest_kld(_alone(engine, texts), _together(engine, texts))
    except FORWARD_ERRORS as fault:
        raise_if_out_of_memory(fault)
        return Sharing(shared=False, told=f"one after the other: sharing a step fails ({one_line(fault)})")
    if error > MOST_NATS:
        return Sharing(
            shared=False,
            told=f"one after the other: sharing a step changes what is predicted by {error:.2g} nats "
            f"(at most {MOST_NATS:.0e} are the rounding of sums)",
        )
    return Sharing(shared=True, told=f"all in one step, predictions within {error:.1g} nats of each alone")


def _alone(engine: Engine, texts: list[list[int]]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = []
    for text, n_prompt in zip(texts, _PROMPTS, strict=True):
        rows.append(np.array(engine.prefill(text[:n_prompt], len(text))))
        rows += [np.array(engine.decode(token_id)) for token_id in text[n_prompt:]]
    return np.stack(rows)


def _together(engine: BatchEngine, texts: list[list[int]]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    engine.begin_batch(len(texts), max(map(len, texts)))
    rows = [[np.array(engine.read_sequence(user, text[:n]))] for user, (text, n) in enumerate(_with_prompts(texts))]
    everyone = range(len(texts))
    for step in range(_N_STEPS):
        logits = np.array(
            engine.decode_batch(everyone, [text[n_prompt + step] for text, n_prompt in _with_prompts(texts)])
        )
        for user in everyone:
            rows[user].append(logits[user])
    return np.stack([row for user in rows for row in user])


def _with_prompts(texts: list[list[int]]) -> list[tuple[list[int], int]]:
    return list(zip(texts, _PROMPTS, strict=True))
