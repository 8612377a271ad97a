"""A text through the loaded method, compared with the reference's predictions of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter_ns

from tuibench.core.run.events import Event, Phase, PhaseProgressed, PhaseStarted, QualityMeasured
from tuibench.core.run.spec import QualityRequest
from tuibench.engines.base import Engine
from tuibench.engines.score_by_decoding import score_by_decoding
from tuibench.models.artifacts import CachedArtifact, find_artifact
from tuibench.models.folder import weight_files
from tuibench.models.references import reference_recipe
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.quality.reference import Predict, ReferenceMaker, StaleReferenceError, open_reference, told_of
from tuibench.quality.scoring import score_text
from tuibench.quality.windows import Windows, windows_of
from tuibench.worker.memory import own_memory

_REPORT_NS = 200_000_000
"""Between two reports of progress."""


class WindowTooLongError(Exception):
    """Windows are longer than what the method takes of a model that itself takes them; the message says so."""


class MissingReferenceError(Exception):
    """There is nothing to compare with; the message says what to do."""


def score(
    engine: Engine,
    tokenizer: PromptTokenizer,
    model_dir: Path,
    context_window: int | None,
    request: QualityRequest,
    emit: Callable[[Event], None],
) -> None:
    """Score a text and emit the figures.

    Raises:
        EvalTextError: The text is too short.
        PromptError: It has tokens that the model has no embedding of.
        MissingReferenceError: The reference is not in the cache, and this method may not make it.
        WindowTooLongError: The reference is of windows that this method cannot read.
        StaleReferenceError: It is of other windows for another reason.
        NotFiniteError: The method's logits are no numbers.
    """
    emit(PhaseStarted(at_ns=perf_counter_ns(), phase=Phase.QUALITY))
    token_ids = tokenizer.encode(request.text, raw=True)
    tokenizer.check_embedded(token_ids)
    windows = windows_of(
        token_ids,
        opening=tokenizer.encode("", raw=True),
        context_window=context_window,
        window_tokens=request.window_tokens,
    )
    predict: Predict = engine.score if hasattr(engine, "score") else partial(score_by_decoding, engine)
    artifact = _reference(predict, engine, model_dir, request, windows, emit)
    try:
        reference = open_reference(artifact, weight_files(model_dir, model_dir.name), windows)
    except StaleReferenceError as error:
        if windows.length != context_window:
            raise
        raise WindowTooLongError(
            f"quality is scored in windows longer than {context_window} tokens, the longest text that this method "
            "takes of this model"
        ) from error
    started_ns = perf_counter_ns()
    figures = score_text(predict, windows, reference, _Reporter("scoring the text", emit))
    emit(
        QualityMeasured(
            at_ns=perf_counter_ns(),
            figures=figures,
            duration_ns=perf_counter_ns() - started_ns,
            reference_bytes=artifact.disk_bytes,
            reference=told_of(artifact),
            memory=own_memory(),
        )
    )


def _reference(
    predict: Predict,
    engine: Engine,
    model_dir: Path,
    request: QualityRequest,
    windows: Windows,
    emit: Callable[[Event], None],
) -> CachedArtifact:
    recipe = reference_recipe(model_dir, request.text, request.window_tokens)
    found = find_artifact(recipe)
    if found is not None:
        return found
    if not request.make_reference:
        raise MissingReferenceError("the FP32 reference of this text is not in the cache; run again to have it made")
    maker = ReferenceMaker(
        windows=windows,
        weights=weight_files(model_dir, model_dir.name),
        score=predict,
        head_inputs=getattr(engine, "head_inputs", None),
        progress=_Reporter("making the FP32 reference", emit),
        told=getattr(engine, "told_of_reference", None),
    )
    return maker.make(recipe, model_dir.name)


class _Reporter:
    """Tells how far it is, a few times a second."""

    def __init__(self, label: str, emit: Callable[[Event], None]) -> None:
        self._label = label
        self._emit = emit
        self._told_ns = 0

    def __call__(self, done: int, total: int) -> None:
        now_ns = perf_counter_ns()
        if done < total and now_ns - self._told_ns < _REPORT_NS:
            return
        self._told_ns = now_ns
        self._emit(PhaseProgressed(at_ns=now_ns, label=self._label, done=done, total=total))
