"""What a worker is asked for in the trials of a run, and before them."""

from __future__ import annotations

from datetime import date

import msgspec

from tuibench.core.run.shape import Shape
from tuibench.core.run.spec import RunSpec, TrialRequest

WARMUP_TOKENS = 8
"""Enough to start thread pools and fill caches; a full-length warm-up without KV-cache would take minutes."""
_WARMUP_USERS = 8
"""At most: whether there is memory for all is known only afterwards."""
_WARMUP_PROMPT_TOKENS = 64
"""Of a sweep, whose own prompts may be as long as the window."""


class TrialRequests:
    """The requests of one run."""

    def __init__(self, spec: RunSpec, prompt_date: date) -> None:
        """Say what is measured.

        Args:
            spec: The comparison.
            prompt_date: The day that the prompt's template is told.
        """
        self._spec = spec
        self._prompt_date = prompt_date
        self.warmup_tokens = min(WARMUP_TOKENS, spec.max_new_tokens)

    def measured(self, shape: Shape | None, turn_tokens: int | None = None) -> TrialRequest:
        """Return a measured generation; without a shape, that of a run of one."""
        spec = self._spec
        request = TrialRequest(
            prompt=spec.prompt,
            raw=spec.raw,
            prompt_date=self._prompt_date,
            max_new_tokens=spec.max_new_tokens,
            sampling=spec.sampling,
            turn_tokens=turn_tokens,
        )
        if shape is None:
            return request
        return msgspec.structs.replace(
            request,
            max_new_tokens=shape.max_new_tokens,
            prompt_tokens=shape.prompt_tokens,
            depth_tokens=shape.depth_tokens,
            n_users=shape.n_users,
            staggered=spec.staggered,
            running_text=spec.running_text.text if spec.running_text else "",
        )

    def warmup(self, shape: Shape | None) -> TrialRequest:
        """Return a short generation; of a sweep it has a short prompt, too, and no depth."""
        request = msgspec.structs.replace(
            self.measured(shape),
            max_new_tokens=self.warmup_tokens,
            depth_tokens=0,
            n_users=min(shape.n_users if shape else 1, _WARMUP_USERS),
        )
        if request.prompt_tokens is None:
            return request
        return msgspec.structs.replace(request, prompt_tokens=min(request.prompt_tokens, _WARMUP_PROMPT_TOKENS))
