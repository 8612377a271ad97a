"""After the trials: each measured method is scored on one text, against the predictions of the FP32 reference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tuibench.core.run.events import FailureKind, QualityMeasured
from tuibench.core.run.host import on_host
from tuibench.core.run.record import QualityRecord
from tuibench.core.run.run_events import Noticed, QualityEnded, QualityStarted, RunEvent, TrialObserved
from tuibench.core.run.spec import EvalText, QualityRequest
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.measure.run.workers import Observe, Workers
from tuibench.models.references import REFERENCE_METHOD
from tuibench.store.redact import redact


@dataclass(frozen=True, slots=True)
class QualityTurns:
    """The turns of one run."""

    text: EvalText
    model_dir: Path
    workers: Workers
    """The run's; the method loaded last is scored first, unless it has to wait for the reference."""
    save: Callable[[QualityRecord], None]
    emit: Callable[[RunEvent], None]
    stopped: Callable[[], bool]
    window_tokens: int | None = None
    """As `QualityRequest` says."""

    async def take(self, methods: Sequence[str]) -> None:
        """Score methods, which were measured, one after the other; a failure becomes a record, and the others go on."""
        first = self.workers.latest
        missing: WorkerFailureError | None = None
        if not await self._has_reference():
            first = self._reference
            if self._reference not in methods:
                missing = await self._make_reference()
        for method in sorted(methods, key=lambda method: method != first):
            if self.stopped():
                return
            self.emit(QualityStarted(method))
            record = await self._score(method) if missing is None else self._failed(method, missing)
            self.save(record)
            self.emit(QualityEnded(record))
            if method == first == self._reference and record.failed and not await self._has_reference():
                missing = WorkerFailureError(FailureKind.SKIPPED, f"no FP32 reference: {record.failure_message}")

    async def _has_reference(self) -> bool:
        return await self.workers.host.has_reference(self.model_dir, self.text.text, self.window_tokens)

    @property
    def _reference(self) -> str:
        """The row that makes the predictions, on this host."""
        return on_host(REFERENCE_METHOD, self.workers.host.name)

    async def _make_reference(self) -> WorkerFailureError | None:
        """Have the reference method, which is not part of the run, predict the text; return why it could not."""
        self.emit(Noticed(f"quality needs the predictions of {self._reference}: they are made first, and kept"))
        self.workers.forget_skip(self._reference)  # of its trials
        try:
            try:
                await self._measure(self._reference, lambda _: None)
            except WorkerFailureError as error:
                if error.kind is not FailureKind.OUT_OF_MEMORY:
                    raise
                await self.workers.end()
                self.emit(Noticed(f"{error.message}: its weights are read layer by layer instead, which takes minutes"))
                await self._measure(self._reference, lambda _: None, streamed=True)
                await self.workers.end()
        except WorkerFailureError as error:
            await self.workers.end()
            if error.kind is FailureKind.CANCELLED:
                return error
            return WorkerFailureError(error.kind, f"no FP32 reference: {error.message}")
        return None

    async def _score(self, method: str) -> QualityRecord:
        try:
            measured = await self._measure(method, lambda event: self.emit(TrialObserved(method, event)))
        except WorkerFailureError as error:
            await self.workers.end()
            return self._failed(method, error)
        return msgspec.structs.replace(
            self._blank(method),
            **msgspec.structs.asdict(measured.figures),
            duration_ns=measured.duration_ns,
            reference_bytes=measured.reference_bytes,
            reference=measured.reference,
        )

    async def _measure(self, method: str, observe: Observe, *, streamed: bool = False) -> QualityMeasured:
        worker = await self.workers.loaded(method, observe, streamed=streamed)
        request = QualityRequest(
            text=self.text.text, window_tokens=self.window_tokens, make_reference=method == self._reference
        )
        async for event in worker.quality(request):
            observe(event)
            if isinstance(event, QualityMeasured):
                return event
        raise RuntimeError("a worker's events end with the figures or an error")

    def _failed(self, method: str, error: WorkerFailureError) -> QualityRecord:
        record = self._blank(method)
        return msgspec.structs.replace(
            record, failure_kind=error.kind, failure_message=redact(error.message, self.workers.host.private_words)
        )

    def _blank(self, method: str) -> QualityRecord:
        return QualityRecord(
            method=method,
            eval_name=self.text.name,
            eval_sha256=hashlib.sha256(self.text.text.encode()).hexdigest(),
            finished=datetime.now(UTC),
        )
