"""`baseline` and `kv-cache`: any decoder-only model that transformers loads, PyTorch eager, FP32."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Progress, UnsupportedModelError
from tuibench.engines.first_steps import MOST_NATS, N_PROMPT, FirstSteps, are_logits, first_tokens, largest_kld
from tuibench.engines.forward_errors import FORWARD_ERRORS, one_line, raise_if_out_of_memory
from tuibench.engines.score_by_decoding import score_by_decoding

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits
    from tuibench.engines.torch.cached import CacheCall, CachedText
    from tuibench.engines.torch.rotation import Rotation

SCORED_TOKENS = 128
"""Positions of a text that go through the model at once: enough for its products, and few logits (25 MB for 49,152)."""
_CHECKED_BLOCK = 5
"""Positions of a block when blocks are checked: the first steps are three, the last one shorter."""


class _TorchEager:
    """Loading and the facts, the same for all methods."""

    method: ClassVar[Method]

    def __init__(self) -> None:
        self._model: Any = None
        self._rotation: Rotation | None = None
        self._forward_options: dict[str, Any] = {}

    def prepare(self, model_dir: Path, progress: Progress) -> bool:  # noqa: ARG002
        """Nothing to make: the safetensors folder is loaded as it is."""
        return False

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        progress("importing torch and transformers", 0, 3)
        import torch

        from tuibench.engines.torch.checkpoint import load_causal_lm
        from tuibench.engines.torch.counts import describe, watching_experts
        from tuibench.engines.torch.dispatch import shorten_dispatch
        from tuibench.engines.torch.rotation import find_rotation

        torch.set_num_threads(n_threads)
        progress("loading weights", 1, 3)
        self._model = model = load_causal_lm(model_dir)
        self._rotation = find_rotation(model)
        # Only the last position goes through the output head, as in transformers' own generate().
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            self._forward_options["logits_to_keep"] = 1
        progress("checking the first steps", 2, 3)
        token_ids = first_tokens(model.get_input_embeddings().weight.shape[0], model.config.to_dict())
        with watching_experts(model) as self._experts_chosen:
            self.first_steps = FirstSteps(token_ids, self._first_pass(token_ids))
        self._refuse_unless_causal()
        info = self._adapted(describe(model, model_dir, n_threads, self._experts_chosen), progress)
        shorten_dispatch(model)
        return info

    def _adapted(self, info: EngineInfo, progress: Progress) -> EngineInfo:  # noqa: ARG002
        """Change the loaded model, where a method does, and say what it is now."""
        return info

    def uncached(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits at every position from one pass over all tokens: what every other way is held against."""
        import torch

        if self._rotation is not None:
            self._rotation.begin()
        with torch.inference_mode():
            return self._all_logits(torch.tensor([list(token_ids)]), use_cache=False)

    def close(self) -> None:
        self._model = None

    def _first_pass(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits of the first tokens.

        Raises:
            UnsupportedModelError: Tokens alone are not enough for this model, or it is not whole in transformers.
        """
        try:
            return self.uncached(token_ids)
        except FORWARD_ERRORS as error:
            raise_if_out_of_memory(error)
            raise UnsupportedModelError(
                f"transformers cannot run {self._model.config.model_type} from tokens alone: {one_line(error)}"
            ) from error

    def _refuse_unless_causal(self) -> None:
        """Refuse a model whose predictions depend on the tokens that follow."""
        expected = self.first_steps.logits
        if not are_logits(expected):
            raise UnsupportedModelError("the model's own forward pass gives values that are not numbers")
        prompt = self.first_steps.token_ids[:N_PROMPT]
        if largest_kld(expected[N_PROMPT - 1 : N_PROMPT], self.uncached(prompt)[-1:]) > MOST_NATS:
            raise UnsupportedModelError(
                f"{self._model.config.model_type} is not a decoder: what it predicts depends on the tokens that follow"
            )

    def _rotates_alike(self, n_tokens: int) -> bool:
        """Return whether a text of this length has the same frequencies at each of its positions."""
        return self._rotation is None or self._rotation.at(1) == self._rotation.at(n_tokens)

    def _last_logits(self, output: Any) -> Logits:  # noqa: ANN401 - transformers' own
        logits: Logits = output.logits[0, -1].numpy()
        return logits

    def _all_logits(self, token_ids: torch.Tensor, **options: Any) -> NDArray[np.float32]:  # noqa: ANN401
        options = {**dict.fromkeys(self._forward_options, 0), **options}
        logits: NDArray[np.float32] = self._model(input_ids=token_ids, **options).logits[0].numpy()
        return logits


class Baseline(_TorchEager):
    """The whole sequence is recomputed for every token: cost per token grows with the length."""

    method = Method(
        id="baseline",
        title="No KV-cache",
        explanation="recomputes the whole sequence for every token",
        parent=None,
        precision="fp32",
        requires=("torch", "transformers"),
    )

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        import torch

        if self._rotation is not None:
            self._rotation.begin()
        self._ids = torch.zeros(1, max_length, dtype=torch.long)
        self._ids[0, : len(token_ids)] = torch.tensor(token_ids)
        self._length = len(token_ids)
        return self._recompute()

    def decode(self, token_id: int) -> Logits:
        self._ids[0, self._length] = token_id
        self._length += 1
        return self._recompute()

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """See `ExtendingEngine`; without a cache the tokens before are read again."""
        import torch

        self._ids[0, self._length : self._length + len(token_ids)] = torch.tensor(token_ids)
        self._length += len(token_ids)
        return self._recompute()

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield one block, from one pass over the whole text: without a cache there is nothing to go on from.

        It is the exception to `Engine.score`'s few dozen MB: a window of 512 × 49,152 logits takes 100 MB.
        """
        if self._rotates_alike(len(token_ids)):
            yield self.uncached(token_ids)
        else:
            yield from score_by_decoding(self, token_ids)

    def _recompute(self) -> Logits:
        import torch

        with torch.inference_mode():
            return self._last_logits(
                self._model(input_ids=self._ids[:, : self._length], use_cache=False, **self._forward_options)
            )


class KvCache(_TorchEager):
    """Keys and values of earlier tokens are kept, so that a step computes one token only."""

    method = Method(
        id="kv-cache",
        title="KV-cache",
        explanation="keeps keys and values of earlier tokens, computes one token a step",
        parent="baseline",
        precision="fp32",
        requires=("torch", "transformers"),
    )

    def _adapted(self, info: EngineInfo, progress: Progress) -> EngineInfo:  # noqa: ARG002
        from tuibench.engines.torch.cache import held_bytes

        self._call = self._find_call()
        size = held_bytes(self._text.cache)
        self._block = SCORED_TOKENS if self._scores_alike() else 1
        facts = {**info.facts, "cache": f"handed over as {self._call}"}
        if self._block == 1:
            facts["scoring"] = "token by token: several at once come out differently in this model"
        return replace(info, kv_cache=size, facts=facts)

    @property
    def plain_call(self) -> CacheCall | None:
        """How the model takes its cache; None where that is not all it needs.

        Such are models whose rotation changes with the length of the text, or that keep some of the text themselves.
        """
        return self._call if self._rotation is None and not self._states else None

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        return self._begin(token_ids, max_length)

    def decode(self, token_id: int) -> Logits:
        return self._go_on(token_id)

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """See `ExtendingEngine`."""
        import torch

        if self._block == 1 or not self._text.rotates_alike(len(token_ids)):
            for token_id in token_ids[:-1]:
                self._go_on(token_id)
            return self._go_on(token_ids[-1])
        with torch.inference_mode():
            return self._last_logits(self._text.append(token_ids, **self._forward_options))

    def continue_from(self, n_kept: int, token_ids: Sequence[int]) -> Logits | None:
        import torch

        from tuibench.engines.torch.cache import layers_that_keep_all

        if self._rotation is not None or self._states or layers_that_keep_all(self._text.cache):
            return None
        self._text.keep(n_kept)
        n_tokens = len(token_ids) if self._block > 1 else 1
        with torch.inference_mode():
            for start in range(0, len(token_ids), n_tokens):
                output = self._text.append(token_ids[start : start + n_tokens], **self._forward_options)
        return self._last_logits(output)

    def _begin(self, token_ids: Sequence[int], max_length: int) -> Logits:
        import torch

        self._text = self._new_text(max_length)
        with torch.inference_mode():
            return self._last_logits(self._text.append(token_ids, **self._forward_options))

    def _go_on(self, token_id: int) -> Logits:
        import torch

        with torch.inference_mode():
            return self._last_logits(self._text.append((token_id,), **self._forward_options))

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits of a text block by block, each going on from the cache of those before."""
        return self._score(token_ids, self._block)

    @property
    def head_inputs(self) -> Callable[[Sequence[int]], Iterator[NDArray[np.float32]]] | None:
        """Yields the final hidden states of a text, `[positions, hidden]`: what the output head makes logits of.

        Some models scale or cap the logits after that, or the states before: whoever multiplies these with the head
        must compare the product with `score`. None where the model does not hand the states out.
        """
        return self._head_inputs if self._tells_states() else None

    def _head_inputs(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        import torch

        text = self._new_text(len(token_ids), self._model.base_model)
        for block in self._blocks(token_ids, self._block):
            with torch.inference_mode():
                states: NDArray[np.float32] = text.append(block).last_hidden_state[0, -len(block) :].numpy()
            yield states

    def _score(self, token_ids: Sequence[int], block: int) -> Iterator[NDArray[np.float32]]:
        import torch

        every = dict.fromkeys(self._forward_options, 0)
        text = self._new_text(len(token_ids))
        for tokens in self._blocks(token_ids, block):
            with torch.inference_mode():
                logits: NDArray[np.float32] = text.append(tokens, **every).logits[0, -len(tokens) :].numpy()
            yield logits

    def _blocks(self, token_ids: Sequence[int], block: int) -> Iterator[Sequence[int]]:
        n_tokens = block if self._rotates_alike(len(token_ids)) else 1
        for start in range(0, len(token_ids), n_tokens):
            yield token_ids[start : start + n_tokens]

    def _new_text(self, max_length: int, model: Any = None) -> CachedText:  # noqa: ANN401 - transformers' own
        from tuibench.engines.torch.cached import CachedText

        return CachedText(model or self._model, self._call, self._rotation, max_length, self._states)

    def _find_call(self) -> CacheCall:
        """Return the way of handing the cache over with which the first steps come out.

        Raises:
            UnsupportedModelError: There is none.
        """
        from tuibench.engines.torch.cached import possible_calls, states_in_modules

        self._states = states_in_modules(self._model)  # once: looking through all modules would count as TTFT
        least, why = float("inf"), ""
        for call in possible_calls(self._model):
            self._call = call
            try:
                error = self.first_steps.decoding_error(self._begin, self._go_on)
            except FORWARD_ERRORS as fault:
                raise_if_out_of_memory(fault)
                why = why or one_line(fault)
                continue
            if error <= MOST_NATS:
                return call
            least = min(least, error)
        told = f"they differ by {least:.2g} nats" if least < float("inf") else why
        raise UnsupportedModelError(
            f"{self._model.config.model_type} does not decode with a cache as without one ({told}); baseline runs it"
        )

    def _scores_alike(self) -> bool:
        """Return whether several tokens at once begin a text, and go on from a cache, as they would one by one."""
        token_ids = self.first_steps.token_ids
        try:
            errors = [
                self.first_steps.scoring_error(self._score(token_ids, n)) for n in (len(token_ids), _CHECKED_BLOCK)
            ]
            return max(errors) <= MOST_NATS
        except FORWARD_ERRORS as error:
            raise_if_out_of_memory(error)
            return False

    def _tells_states(self) -> bool:
        import torch

        base = self._model.base_model
        if base is self._model or "cache" not in inspect.signature(base.forward).parameters:
            return False
        try:
            with torch.inference_mode():
                output = self._new_text(N_PROMPT, base).append(self.first_steps.token_ids[:N_PROMPT])
        except FORWARD_ERRORS as error:
            raise_if_out_of_memory(error)
            return False
        return getattr(output, "last_hidden_state", None) is not None
