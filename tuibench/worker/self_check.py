"""Whether what was just loaded is the model: its first steps against those of one uncached pass in FP32."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Protocol, runtime_checkable

from tuibench.engines.base import Engine, Progress
from tuibench.engines.first_steps import MOST_NATS, N_PROMPT, N_STEPS, FirstSteps
from tuibench.worker.first_steps import NoFirstStepsError, keep_first_steps, known_first_steps, make_first_steps

_TRUSTED = ("baseline", "kv-cache")
"""Methods whose own uncached pass serves the others: transformers' forward pass as it is."""


class WrongModelError(Exception):
    """A method computes something else than the model; the message says how far it is off."""


@runtime_checkable
class _KnowsFirstSteps(Protocol):
    """An engine that made an uncached pass itself when it loaded: in FP32, unless its method is a BF16 one."""

    first_steps: FirstSteps


class SelfCheck:
    """The check of one method on one model: prepared before it is loaded, made after."""

    def __init__(self, engine: Engine, model_dir: Path) -> None:
        self._engine = engine
        self._model_dir = model_dir
        self._why_not = ""

    def prepare(self, progress: Progress) -> bool:
        """See that there is something to compare with; return whether it had to be made, which takes some seconds.

        Raises:
            UnsupportedModelError: The reference cannot run this model, so nobody can tell what is right.
        """
        method = self._engine.method
        if not method.rounds_little or "torch" in method.requires or known_first_steps(self._model_dir) is not None:
            return False
        progress("predicting the first steps in FP32, once a model", 0, None)
        try:
            make_first_steps(self._model_dir)
        except NoFirstStepsError as error:
            self._why_not = str(error)
        return True

    def run(self) -> dict[str, str]:
        """Compare, and return what came out as a fact to be shown; empty where there is nothing to compare with.

        Raises:
            WrongModelError: A method that promises the model, or whose predictions are not numbers, computes another.
        """
        steps = self._first_steps()
        if steps is None:
            return {"checked": f"no: {self._why_not}"} if self._why_not else {}
        error = steps.decoding_error(self._engine.prefill, self._engine.decode)
        held = self._engine.method.rounds_little
        if held and error <= MOST_NATS and hasattr(self._engine, "score"):
            error = max(error, steps.scoring_error(self._engine.score(steps.token_ids)))
        if error > MOST_NATS if held else math.isinf(error):
            raise WrongModelError(
                f"it does not compute this model: its first {N_PROMPT + N_STEPS} tokens are {error:.2g} nats from an "
                f"uncached FP32 pass (at most {MOST_NATS:.0e} are the rounding of sums)"
            )
        return {
            "checked": f"the first {N_PROMPT + N_STEPS} tokens are within {error:.1g} nats of an uncached FP32 pass"
        }

    def _first_steps(self) -> FirstSteps | None:
        known = known_first_steps(self._model_dir)
        if isinstance(self._engine, _KnowsFirstSteps) and self._engine.method.precision != "bf16":
            if known is None and self._engine.method.id in _TRUSTED:
                keep_first_steps(self._model_dir, self._engine.first_steps)
            return self._engine.first_steps
        return known
