"""The methods that run a decoder graph built here; their worker imports neither PyTorch nor transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import msgspec

from tuibench.core.run.spec import Calibration, Method
from tuibench.engines.base import EngineInfo, Progress, UnsupportedModelError
from tuibench.engines.ort.recipes import OPTIONS, Options

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime as ort
    from numpy.typing import NDArray

    from tuibench.engines.base import BatchLogits, Logits
    from tuibench.engines.decoder.description import Decoder
    from tuibench.engines.decoder.rereading import Session
    from tuibench.engines.ort.batch import SequenceBatch
    from tuibench.models.artifacts import CachedArtifact

_REQUIRES = ("onnx", "onnxruntime")


class _GraphEngine:
    """A graph from the artifact cache under ONNX Runtime."""

    method: ClassVar[Method]
    spare_room = True
    cache_fact: ClassVar[str] = "past and present share one buffer; a step writes its own row"

    def __init__(self) -> None:
        self.options: Options = OPTIONS[self.method.id]
        """May be replaced before `prepare()`."""
        self._artifact: CachedArtifact | None = None
        self._session: Session | None = None
        self._batch: SequenceBatch

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        from tuibench.engines.decoder.checkpoint import Checkpoint
        from tuibench.engines.decoder.read import read_decoder
        from tuibench.engines.ort.prepared import prepared_artifact

        # Refuses what has no graph, before anything is made.
        decoder = read_decoder(model_dir, "ONNX graph")
        Checkpoint(model_dir, decoder)
        if reason := self._unsupported(decoder):
            raise UnsupportedModelError(reason)
        self._artifact, made = prepared_artifact(self.method.id, self.options, model_dir, progress)
        return made

    def _unsupported(self, decoder: Decoder) -> str | None:
        """Return why a model cannot run in this kind of graph."""
        from tuibench.engines.ort.unsupported import unsupported

        return unsupported(decoder)

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        from tuibench.engines.decoder.read import read_decoder
        from tuibench.engines.ort.facts import describe
        from tuibench.engines.ort.prepared import cached_artifact

        if self._artifact is None:
            self.prepare(model_dir, progress)
        assert self._artifact is not None  # noqa: S101 - prepare() sets it or raises
        progress("importing ONNX Runtime", 0, 2)
        from tuibench.engines.decoder.rereading import Rereading
        from tuibench.engines.decoder.rope import switching_length
        from tuibench.engines.ort.session import session_options

        progress("loading the graph", 1, 2)
        decoder = read_decoder(model_dir)
        self._session = self._open(self._artifact.directory, decoder, session_options(n_threads))
        if (switch := switching_length(decoder.rope)) is not None:
            self._session = Rereading(self._session, switch)
        info = describe(self.method, self._artifact, decoder, n_threads, cached_artifact("onnx", model_dir))
        return replace(info, facts={**info.facts, "KV-cache": self.cache_fact})

    def _open(self, directory: Path, decoder: Decoder, options: ort.SessionOptions) -> Session:
        from tuibench.engines.ort.session import DecoderSession

        return DecoderSession(directory, decoder, options)

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        assert self._session is not None  # noqa: S101 - the protocol loads first
        return self._session.prefill(token_ids, max_length)

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """See `ExtendingEngine`."""
        assert self._session is not None  # noqa: S101 - the protocol loads first
        return self._session.extend(token_ids)

    def decode(self, token_id: int) -> Logits:
        assert self._session is not None  # noqa: S101 - the protocol loads first
        return self._session.decode(token_id)

    def keep(self, n_kept: int, max_length: int) -> bool:
        """See `ContinuingEngine`."""
        assert self._session is not None  # noqa: S101 - the protocol prefills first
        return self._session.keep(n_kept, max_length)

    @property
    def why_alone(self) -> str | None:
        """See `BatchEngine`."""
        from tuibench.engines.ort.session import DecoderSession

        if not isinstance(self._session, DecoderSession):
            return "its graph takes one sequence, whose positions it may have to turn anew"
        return self._session.why_alone

    def begin_batch(self, n_sequences: int, max_length: int) -> None:
        from tuibench.engines.ort.session import DecoderSession

        assert isinstance(self._session, DecoderSession)  # noqa: S101 - nothing else is asked, says `why_alone`
        self._batch = self._session.batch(n_sequences, max_length)

    def read_sequence(self, sequence: int, token_ids: Sequence[int]) -> Logits:
        return self._batch.read(sequence, token_ids)

    def decode_batch(self, sequences: Sequence[int], token_ids: Sequence[int]) -> BatchLogits:
        return self._batch.decode(sequences, token_ids)

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        assert self._session is not None  # noqa: S101 - the protocol loads first
        return self._session.score(token_ids)

    def close(self) -> None:
        self._session = None


class Onnx(_GraphEngine):
    """The export as it is: no graph optimisation, no operator fused.

    Past and present share buffers into which a step scatters its positions. The module attends to all of them, so that
    they have little room beyond what is in use.
    """

    cache_fact = "past and present share buffers; a step writes its own positions, those not in use yet are masked"

    method = Method(
        id="onnx",
        title="ONNX",
        explanation="the PyTorch module exported to ONNX, graph optimisation off; the KV-cache stays in its buffers",
        parent="kv-cache",
        precision="fp32",
        requires=("onnx", "onnxruntime", "onnxscript"),
    )

    def _unsupported(self, decoder: Decoder) -> str | None:
        from tuibench.engines.ort.unsupported import unsupported_export

        return unsupported_export(decoder)

    def _open(self, directory: Path, decoder: Decoder, options: ort.SessionOptions) -> Session:
        from tuibench.engines.ort.unfused_session import UnfusedSession

        return UnfusedSession(directory, decoder, options)


class OnnxFused(_GraphEngine):
    """FP32 weights, fused operators, cache in place."""

    method = Method(
        id="onnx-fused",
        title="ONNX, fused",
        explanation="one graph of fused operators; the KV-cache stays in one buffer",
        parent="onnx",
        precision="fp32",
        requires=_REQUIRES,
    )


class Int8Dynamic(_GraphEngine):
    """INT8 weights in blocks; activations are quantised block by block as they come.

    Their ranges need no text; a text only shows which channels have outliers, which the weights take over.
    """

    method = Method(
        id="int8-dynamic",
        title="INT8, dynamic",
        explanation="INT8 weights and products; activation ranges found anew for every block",
        parent="onnx-fused",
        precision="int8",
        requires=_REQUIRES,
    )

    def calibrate_on(self, calibration: Calibration) -> None:
        self.options = _with_text(OPTIONS[self.method.id], calibration)


class Int8Static(_GraphEngine):
    """INT8 weights, one scale a row; activation ranges from a calibration text."""

    method = Method(
        id="int8-static",
        title="INT8, static",
        explanation="INT8 weights and products; activation ranges fixed beforehand on a calibration text",
        parent="onnx-fused",
        precision="int8",
        requires=_REQUIRES,
    )

    def calibrate_on(self, calibration: Calibration) -> None:
        ranges = msgspec.structs.replace(OPTIONS[self.method.id], ranges=calibration.ranges)
        self.options = _with_text(ranges, calibration)


class Int4(_GraphEngine):
    """INT4 weights in blocks, rounded on a calibration text; head and last products of the MLPs in INT8."""

    method = Method(
        id="int4-onnx",
        title="INT4, weights only",
        explanation="weights rounded to 16 levels in small blocks, errors made up for on a calibration text; "
        "head and last products of the MLPs in INT8",
        parent="int8-dynamic",
        precision="int4",
        requires=_REQUIRES,
    )

    def calibrate_on(self, calibration: Calibration) -> None:
        self.options = _with_text(OPTIONS[self.method.id], calibration)


def _with_text(options: Options, calibration: Calibration) -> Options:
    return options if calibration.file is None else msgspec.structs.replace(options, calibration=calibration.file)
