"""One method on one folder: right, refused, WRONG, or a crash."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from tests.architectures.forked import DiedError, ForkedWorker, called_in_child
from tests.architectures.truth import N_DECODED, N_PROMPT, Rows, Truth, kld
from tuibench.core.run.events import (
    PROTOCOL_VERSION,
    EngineReady,
    Event,
    FailureKind,
    QualityMeasured,
    TokenEmitted,
    TrialFinished,
    WorkerFailed,
)
from tuibench.core.run.spec import LoadRequest, QualityRequest, TrialRequest
from tuibench.methods import available_methods, engine_class
from tuibench.models.artifacts import find_artifact
from tuibench.models.folder import weight_files
from tuibench.models.references import REFERENCE_METHOD, reference_recipe
from tuibench.quality.reference import StaleReferenceError, open_reference

_STEPPED = ("kv-cache", "kv-cache-lookup")
"""Methods with a torch cache: their logits are compared step by step, too."""
_EXACT_KLD = 1e-4
_PLAUSIBLE_KLD = {"fp16": 0.01, "bf16": 0.1, "int8": 0.5, "int4": 3.0}
_PICKED_OTHERWISE, _PICKED_KLD = 0.05, 0.02
_TIE = 1e-3
_NOT_FOR_USERS = ("trust_remote_code", "look at the above report", "Traceback", "IndexError")


def judge(method: str, directory: Path, truth: Truth, scratch: Path) -> str:
    """Return the verdict."""
    # The reference method makes what methods are scored against in an empty cache; all others find the truth in theirs.
    own_cache = scratch / "own-cache" if method == REFERENCE_METHOD else None
    verdict = _through_the_worker(method, directory, truth, scratch / f"{method}.log", own_cache)
    if verdict.startswith("refused"):
        return verdict
    if not truth.causal and not truth.by_length and not verdict.startswith("crash"):
        return "WRONG: an encoder is run as a decoder"
    faults = [verdict]
    if own_cache is not None and not verdict.startswith("crash"):
        faults.append(_stored_reference(own_cache, directory, truth))
    if method in _STEPPED:
        faults.append(_step_by_step(method, directory, truth, scratch / f"{method}-steps.log"))
    return "; ".join(fault for fault in faults if fault != "right") or "right"


def judge_refusal(method: str, directory: Path, scratch: Path, reason: str) -> str:
    """Return the verdict on a model that transformers itself cannot run from token ids alone."""
    worker = ForkedWorker(scratch / f"{method}.log", {})
    try:
        worker.ask(_load(method, directory))
        if failed := _failure(worker.until(EngineReady)):
            return _refusal(failed, "loading")
        worker.ask(TrialRequest(prompt="no matter what", raw=True, max_new_tokens=2))
        if failed := _failure(worker.until(TrialFinished)):
            return _refusal(failed, "generating")
    except DiedError as error:
        return f"crash: {error}"
    finally:
        worker.end()
    return f"WRONG: it runs, and for transformers: {' '.join(reason.split())}"


def _load(method: str, directory: Path) -> LoadRequest:
    return LoadRequest(protocol=PROTOCOL_VERSION, method=method, model_dir=str(directory), n_threads=1)


def _through_the_worker(method: str, directory: Path, truth: Truth, log: Path, own_cache: Path | None = None) -> str:
    worker = ForkedWorker(log, {} if own_cache is None else {"TUIBENCH_CACHE": str(own_cache)})
    try:
        worker.ask(_load(method, directory))
        if failed := _failure(worker.until(EngineReady)):
            return _refusal(failed, "loading")
        worker.ask(TrialRequest(prompt=truth.prompt, raw=True, max_new_tokens=N_DECODED))
        events = worker.until(TrialFinished)
        if failed := _failure(events):
            return _refusal(failed, "generating")
        tokens = [event.token_id for event in events if isinstance(event, TokenEmitted)]
        worker.ask(QualityRequest(text=truth.text, make_reference=own_cache is not None))
        events = worker.until(QualityMeasured)
        if failed := _failure(events):
            return _refusal(failed, "scoring")
        (measured,) = (event for event in events if isinstance(event, QualityMeasured))
        return _figures(method, truth, tokens, measured)
    except DiedError as error:
        return f"crash: {error}"
    finally:
        worker.end()


def _stored_reference(cache: Path, directory: Path, truth: Truth) -> str:
    with patch.dict(os.environ, {"TUIBENCH_CACHE": str(cache)}):
        artifact = find_artifact(reference_recipe(directory, truth.text))
    assert artifact is not None
    try:
        reference = open_reference(artifact, weight_files(directory, directory.name), truth.windows)
    except StaleReferenceError as error:
        return f"WRONG: stored reference: {error}"
    # From the stored side, as methods are compared: what it cut off as too unlikely counts for nothing.
    divergence = kld(reference.logits(0, truth.windows.n_scored), truth.prefixes[truth.windows.first : -1])
    return "right" if divergence < _EXACT_KLD else f"WRONG: stored reference: KLD {divergence:.3g}"


def _failure(events: list[Event]) -> WorkerFailed | None:
    return events[-1] if isinstance(events[-1], WorkerFailed) else None


def _refusal(failed: WorkerFailed, doing: str) -> str:
    told = failed.message
    clear = failed.kind in (FailureKind.UNSUPPORTED, FailureKind.BAD_INPUT)
    clear &= "\n" not in told and not any(words in told for words in _NOT_FOR_USERS)
    shown = " ".join(told.split())
    return f"refused: {shown}" if clear else f"crash: {doing}: {failed.kind}: {shown}"


def _figures(method: str, truth: Truth, tokens: list[int], measured: QualityMeasured) -> str:
    precision = available_methods()[method].precision
    divergence = measured.figures.kld_mean
    if precision != "fp32":
        plausible = np.isfinite(divergence) and divergence < _PLAUSIBLE_KLD[precision]
        return "right" if plausible else f"WRONG: scored: KLD {divergence:.3g}"
    faults = []
    if len(tokens) != len(truth.greedy):
        faults.append(f"{len(tokens)} tokens instead of {len(truth.greedy)}")
    first = next((n for n, (a, b) in enumerate(zip(tokens, truth.greedy, strict=False)) if a != b), None)
    if first is not None and truth.margins[first] > _TIE:
        faults.append(f"other text from token {first + 1} on")
    if not divergence < _EXACT_KLD:
        faults.append(f"scored: KLD {divergence:.3g}")
    return "WRONG: " + ", ".join(faults) if faults else "right"


def _step_by_step(method: str, directory: Path, truth: Truth, log: Path) -> str:
    try:
        decoded, scored, again = called_in_child(partial(_logits, method, directory, truth.token_ids), log)
    except DiedError as error:
        return f"crash: step by step: {error}"
    after_prompt = N_PROMPT - 1
    faults = [
        *other_rows("decoded", truth.prefixes[after_prompt : after_prompt + len(decoded)], decoded),
        *other_rows("scored", truth.prefixes, scored),
        *other_rows("the next text", truth.prefixes[after_prompt : after_prompt + 1], again),
    ]
    return "WRONG: " + ", ".join(faults) if faults else "right"


def other_rows(what: str, expected: Rows, found: Rows) -> list[str]:
    """Return the fault in words, if there is one.

    Some rows may differ slightly: an indexer or a router picks by scores that may be the same but for rounding.
    """
    divergences = [kld(row, other) for row, other in zip(expected, found, strict=True)]
    wrong = [n for n, divergence in enumerate(divergences) if not divergence < _EXACT_KLD]
    if len(wrong) <= _PICKED_OTHERWISE * len(divergences) and max(divergences) < _PICKED_KLD:
        return []
    return [f"{what}: {len(wrong)} of {len(divergences)} rows from {wrong[0]} on, KLD {max(divergences):.3g}"]


def _logits(method: str, directory: Path, token_ids: list[int]) -> tuple[Rows, Rows, Rows]:
    """Return logits: after a prompt and each token that follows, of the whole text, and after the prompt again."""
    engine = engine_class(method)()
    engine.load(directory, 1, lambda *_: None)
    prompt = token_ids[:N_PROMPT]
    decoded = [engine.prefill(prompt, N_PROMPT + N_DECODED).copy()]
    decoded += [engine.decode(token).copy() for token in token_ids[N_PROMPT : N_PROMPT + N_DECODED]]
    scored = [block.copy() for block in engine.score(token_ids)]
    again = engine.prefill(prompt, N_PROMPT + N_DECODED)
    return np.stack(decoded), np.concatenate(scored), again[None]
