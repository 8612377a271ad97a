"""`baseline`, `kv-cache` and `kv-cache-bf16`: what a loaded model computes for each token."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Progress, UnsupportedModelError
from tuibench.engines.first_steps import N_PROMPT
from tuibench.engines.forward_errors import FORWARD_ERRORS, one_line, raise_if_out_of_memory
from tuibench.engines.score_by_decoding import score_by_decoding
from tuibench.engines.torch.loading import TorchEager

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuibench.engines.base import BatchLogits, Logits
    from tuibench.engines.torch.batch import TextBatch
    from tuibench.engines.torch.cached import CacheCall, CachedText

SCORED_TOKENS = 128
"""Positions of a text that go through the model at once: enough for its products, and few logits (25 MB for 49,152)."""
_CHECKED_BLOCK = 5
"""Positions of a block when blocks are checked: the first steps are three, the last one shorter."""


class Baseline(TorchEager):
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


class KvCache(TorchEager):
    """Keys and values of earlier tokens are kept, so that a step computes one token only."""

    method = Method(
        id="kv-cache",
        title="KV-cache",
        explanation="keeps keys and values of earlier tokens, computes one token a step",
        parent="baseline",
        precision="fp32",
        requires=("torch", "transformers"),
    )

    scored_tokens: ClassVar[int] = SCORED_TOKENS
    spare_room = True
    _batch: TextBatch

    def _adapted(self, info: EngineInfo, progress: Progress) -> EngineInfo:  # noqa: ARG002
        from tuibench.engines.torch.cache import held_bytes

        self._call = self._find_call()
        size = held_bytes(self._text.cache)
        self._block = self.scored_tokens if self._scores_alike() else 1
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

    def keep(self, n_kept: int, max_length: int) -> bool:
        """See `ContinuingEngine`."""
        from tuibench.engines.torch.cache import layers_that_keep_all

        lasting = self._rotation is not None or self._states or layers_that_keep_all(self._text.cache)
        return not lasting and self._text.keep(n_kept, max_length)

    @property
    def why_alone(self) -> str | None:
        """See `BatchEngine`."""
        from tuibench.engines.torch.batch import why_no_batch

        if self.plain_call is None:
            return "the model keeps some of its text outside of the cache, or turns it by its length"
        if self._call.own_cache:
            return "the model makes a cache of its own kind"
        return why_no_batch(self._model.config.get_text_config(decoder=True))

    def begin_batch(self, n_sequences: int, max_length: int) -> None:
        from tuibench.engines.torch.batch import TextBatch

        self._batch = TextBatch(self._model, lambda: self._new_text(max_length), n_sequences, max_length)

    def read_sequence(self, sequence: int, token_ids: Sequence[int]) -> Logits:
        import torch

        text = self._text = self._batch.text(sequence)
        n_tokens = len(token_ids) if self._block > 1 else 1
        with torch.inference_mode():
            for start in range(0, len(token_ids), n_tokens):
                output = text.append(token_ids[start : start + n_tokens], **self._forward_options)
        self._batch.was_read(sequence, len(token_ids))
        return self._last_logits(output)

    def decode_batch(self, sequences: Sequence[int], token_ids: Sequence[int]) -> BatchLogits:
        import torch

        with torch.inference_mode():
            output = self._batch.step(sequences, token_ids, self._forward_options)
        logits: BatchLogits = output.logits[:, -1].float().numpy()
        return logits[[each - sequences[0] for each in sequences]] if len(logits) > len(sequences) else logits

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
                states: NDArray[np.float32] = text.append(block).last_hidden_state[0, -len(block) :].float().numpy()
            yield states

    def _score(self, token_ids: Sequence[int], block: int) -> Iterator[NDArray[np.float32]]:
        import torch

        every = dict.fromkeys(self._forward_options, 0)
        text = self._new_text(len(token_ids))
        for tokens in self._blocks(token_ids, block):
            with torch.inference_mode():
                logits: NDArray[np.float32] = text.append(tokens, **every).logits[0, -len(tokens) :].float().numpy()
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
            if error <= self.most_nats:
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
            return max(errors) <= self.most_nats
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


class KvCacheBf16(KvCache):
    """Weights, activations and KV-cache in BF16: half the bytes a token reads."""

    method = Method(
        id="kv-cache-bf16",
        title="KV-cache, BF16",
        explanation="the KV-cache method with weights and activations in BF16: half the bytes, 8 bits of mantissa",
        parent="kv-cache",
        precision="bf16",
        requires=("torch", "transformers"),
    )
    dtype_name = "bfloat16"
    # A mantissa of 8 bits: two orders of the same sums differ by up to 1 %. A cache that is ignored gives 0.1 and more.
    most_nats = 0.05

    def _adapted(self, info: EngineInfo, progress: Progress) -> EngineInfo:
        from tuibench.engines.torch.bf16 import instructions

        info = super()._adapted(info, progress)
        return replace(info, facts={**info.facts, "BF16 instructions": instructions()})
