"""A generation of CTranslate2's, taken step by step.

Its interface keeps no KV-cache between calls: a whole generation is one call, which tells each step to a callback. The
call runs in a thread of its own, and the callback holds it until the next step is wanted, so that nothing is computed
ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple


class Step(NamedTuple):
    """What follows some tokens."""

    picked: int
    """The token that CTranslate2 goes on with."""
    logits: Any
    """`[1, vocabulary]`, of its own array type. Tokens that it may not pick have the lowest number."""


class Generation:
    """One call."""

    def __init__(
        self,
        generate: Callable[..., object],
        token_ids: Sequence[int],
        n_steps: int,
        *,
        banned: Collection[int],
        one_by_one: bool,
    ) -> None:
        """Start it; it computes nothing yet.

        Args:
            generate: `Generator.generate_batch`.
            token_ids: The text to go on from. Its tokens are named by their numbers.
            n_steps: Most steps that will be asked for.
            banned: Tokens that are never picked.
            one_by_one: Whether the text is read as it is written, a step for each token; the first `len(token_ids)`
                steps are those then. Else it is read at once, and the first step follows it.
        """
        n_most = n_steps + len(token_ids)
        self._call = {
            "start_tokens": [[str(token_id) for token_id in token_ids]],
            "include_prompt_in_result": one_by_one,
            "max_length": n_most,
            # What may end a text is what must not: it is kept from being picked until a length that is never reached.
            "end_token": sorted(banned),
            "min_length": n_most if banned else 0,
            "return_logits_vocab": True,
        }
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._told: SimpleQueue[Step | Exception] = SimpleQueue()
        # Not kept: the library's own thread is the last to let go of the callback, and with it of this object. If that
        # were the last hold on the generator, too, it would end its thread from within it, which aborts the process.
        self._thread = Thread(target=self._run, args=(generate,), name="ctranslate2", daemon=True)
        self._thread.start()

    def step(self) -> Step:
        """Compute a step.

        Raises:
            RuntimeError: CTranslate2 cannot.
        """
        self._wanted.put(True)
        told = self._told.get()
        if isinstance(told, Exception):
            raise told
        return told

    def stop(self) -> None:
        """End it, whether it has come to its end or not."""
        self._wanted.put(False)
        self._thread.join()

    def _run(self, generate: Callable[..., object]) -> None:
        if not self._wanted.get():
            return
        try:
            generate(callback=self._on_step, **self._call)
        except Exception as error:  # noqa: BLE001 - whoever asked for a step must hear of it
            self._told.put(error)
        else:
            self._told.put(RuntimeError("CTranslate2 ended a text before it was asked to"))

    def _on_step(self, result: Any) -> bool:  # noqa: ANN401 - of a package without types
        """Tell a step, and return whether it was the last."""
        self._told.put(Step(result.token_id, result.logits))
        return not self._wanted.get()
