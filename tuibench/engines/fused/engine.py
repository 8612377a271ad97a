"""The methods that run our own compiled decode step; their worker imports no model library."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Guesses, Progress, UnsupportedModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuibench.engines.base import BatchLogits, Logits
    from tuibench.engines.decoder.rereading import Steps
    from tuibench.engines.fused.session import FusedSession

_REQUIRES = ("numba",)


class _FusedEngine:
    """The same for all precisions: kernels are chosen by how the matrices are stored."""

    method: ClassVar[Method]
    spare_room = True

    def __init__(self) -> None:
        self._session: FusedSession | None = None
        self._not_kept: str | None = None
        """Why packed weights could not be."""
        self._steps: Steps | None = None
        """The session, or what has it read a text again where its length asks for that."""

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        from tuibench.engines.decoder.checkpoint import Checkpoint
        from tuibench.engines.decoder.read import read_decoder
        from tuibench.engines.fused.unsupported import unsupported

        # Refuses what the kernels cannot run, before they are compiled.
        decoder = read_decoder(model_dir, "kernels")
        checkpoint = Checkpoint(model_dir, decoder)
        if reason := unsupported(decoder):
            raise UnsupportedModelError(reason)
        from tuibench.engines.fused.layers import is_varied
        from tuibench.engines.fused.machine_code import compile_missing, parts_of
        from tuibench.engines.fused.weights import keep_packed
        from tuibench.models.artifacts import ArtifactError

        progress("compiling kernels", 0, None)
        compiled = compile_missing(parts_of(self.method.precision, varied=is_varied(decoder)))
        try:
            packed = keep_packed(
                decoder, checkpoint, model_dir, self.method.precision, len(os.sched_getaffinity(0)), progress
            )
        except (ArtifactError, OSError) as error:
            self._not_kept = f"packed weights cannot be kept ({error}): they are packed anew at every start"
            packed = False
        return compiled or packed

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        from tuibench.engines.decoder.checkpoint import Checkpoint
        from tuibench.engines.decoder.read import read_decoder
        from tuibench.engines.decoder.rereading import RereadingSteps
        from tuibench.engines.decoder.rope import switching_length
        from tuibench.engines.fused.facts import describe
        from tuibench.engines.fused.model import new_model
        from tuibench.engines.fused.session import Embedding, FusedSession
        from tuibench.engines.fused.weights import packed_matrices

        decoder = read_decoder(model_dir)
        weights = Checkpoint(model_dir, decoder)
        matrices = packed_matrices(decoder, weights, model_dir, self.method.precision, n_threads, progress)
        model = new_model(decoder, weights, matrices)
        self._session = FusedSession(decoder, model, Embedding(decoder, weights), n_threads)
        switch = switching_length(decoder.rope)
        self._steps = self._session if switch is None else RereadingSteps(self._session, switch)
        info = describe(self.method, self._session, weights.parameters, model_dir)
        return info if self._not_kept is None else replace(info, facts={"notice": self._not_kept} | info.facts)

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        assert self._steps is not None  # noqa: S101 - the protocol loads first
        return self._steps.prefill(token_ids, max_length)

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """See `ExtendingEngine`."""
        assert self._steps is not None  # noqa: S101 - the protocol loads first
        return self._steps.extend(token_ids)

    def decode(self, token_id: int) -> Logits:
        assert self._steps is not None  # noqa: S101 - the protocol loads first
        return self._steps.decode(token_id)

    def keep(self, n_kept: int, max_length: int) -> bool:
        """See `ContinuingEngine`."""
        assert self._steps is not None  # noqa: S101 - the protocol prefills first
        return self._steps.keep(n_kept, max_length)

    @property
    def why_alone(self) -> str | None:
        """See `BatchEngine`."""
        return self._loaded.why_alone

    def begin_batch(self, n_sequences: int, max_length: int) -> None:
        """See `BatchEngine`; ends what `prefill` began."""
        self._loaded.begin(n_sequences, max_length)

    def read_sequence(self, sequence: int, token_ids: Sequence[int]) -> Logits:
        """See `BatchEngine`."""
        return self._loaded.read(sequence, token_ids)

    def decode_batch(self, sequences: Sequence[int], token_ids: Sequence[int]) -> BatchLogits:
        """See `BatchEngine`; the bits of each sequence alone."""
        return self._loaded.decode_together(sequences, token_ids)

    @property
    def _loaded(self) -> FusedSession:
        assert self._session is not None  # noqa: S101 - the protocol loads first
        return self._session

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        assert self._steps is not None  # noqa: S101 - the protocol loads first
        return self._steps.score(token_ids)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._steps = None


class FusedFp32(_FusedEngine):
    """FP32 weights, one compiled call per token."""

    method = Method(
        id="fused-fp32",
        title="Fused kernels, FP32",
        explanation="a whole token in one compiled call; threads meet at barriers instead of being started",
        parent="onnx-fused",
        precision="fp32",
        requires=_REQUIRES,
    )


class FusedInt8(_FusedEngine):
    """INT8 weights, one scale per row; INT16 activations."""

    method = Method(
        id="fused-int8",
        title="Fused kernels, INT8",
        explanation="the same call on INT8 weights: a quarter of the bytes, whole-number products",
        parent="fused-fp32",
        precision="int8",
        requires=_REQUIRES,
    )


class FusedInt4(_FusedEngine):
    """INT4 weights in blocks of 32, INT16 activations."""

    method = Method(
        id="fused-int4",
        title="Fused kernels, INT4",
        explanation="the same call on weights rounded to 16 levels in small blocks: 5 bits a weight in all",
        parent="fused-int8",
        precision="int4",
        requires=_REQUIRES,
    )


class FusedInt8Lookup(FusedInt8):
    """`fused-int8` that guesses from the text so far; the same tokens, to the bit."""

    method = Method(
        id="fused-int8-lookup",
        title="Fused kernels, INT8, prompt lookup",
        explanation="guesses how the text goes on from what it said before, checks up to 7 tokens in one step",
        parent="fused-int8",
        precision="int8",
        requires=_REQUIRES,
    )

    @property
    def why_alone(self) -> str | None:
        """See `BatchEngine`."""
        return "it guesses ahead in one sequence"

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        from tuibench.engines.fused.session import MOST_AT_ONCE
        from tuibench.engines.lookup import Drafter

        assert self._steps is not None  # noqa: S101 - the protocol loads first
        self._guesser = Drafter(self._steps, token_ids, max_length, MOST_AT_ONCE)
        return super().prefill(token_ids, max_length)

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """See `ExtendingEngine`; guesses are made from these tokens, too."""
        self._guesser.read(token_ids)
        return super().extend(token_ids)

    def decode(self, token_id: int) -> Logits:
        return self._guesser.decode(token_id)

    def keep(self, n_kept: int, max_length: int) -> bool:
        """See `ContinuingEngine`."""
        kept = super().keep(n_kept, max_length)
        if kept:
            self._guesser = self._guesser.kept(n_kept, max_length)
        return kept

    @property
    def guesses(self) -> Guesses:
        drafter = self._guesser
        return Guesses(drafter.n_steps, drafter.n_guessed, drafter.n_accepted)
