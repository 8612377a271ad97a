"""Load one method, then serve trials and scores until the parent has had enough."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

from tuibench.core.run.events import (
    EngineReady,
    Event,
    FailureKind,
    Heartbeat,
    Phase,
    PhaseProgressed,
    PhaseStarted,
    WorkerFailed,
)
from tuibench.core.run.spec import GoOnRequest, LoadRequest, QualityRequest, TrialRequest
from tuibench.engines.base import (
    CalibratedEngine,
    CalibrationError,
    Engine,
    EngineInfo,
    StreamEngine,
    StreamError,
    StreamRefusedError,
    UnsupportedModelError,
)
from tuibench.engines.decoder.fits import NotEnoughMemoryError, check_fits
from tuibench.methods import UnknownMethodError, UnusableMethodError, engine_class
from tuibench.models.artifacts import ArtifactError
from tuibench.models.local import ModelError
from tuibench.models.text.tokenizer import PromptError, PromptTokenizer
from tuibench.quality.divergence import NotFiniteError
from tuibench.quality.reference import StaleReferenceError
from tuibench.quality.windows import EvalTextError
from tuibench.worker.batch_check import Sharing, check_sharing
from tuibench.worker.generate import generate
from tuibench.worker.memory import own_memory
from tuibench.worker.pipe import EventWriter, RequestReader, UnexpectedRequestError
from tuibench.worker.prompt import PromptReader
from tuibench.worker.score import MissingReferenceError, WindowTooLongError, score
from tuibench.worker.self_check import SelfCheck, WrongModelError
from tuibench.worker.stall_detector import StallDetector
from tuibench.worker.stream import load_stream, stream
from tuibench.worker.stream_users import stream_for_users
from tuibench.worker.tell_machine import tell_machine
from tuibench.worker.turns import Turns
from tuibench.worker.users import generate_for_users

HEARTBEAT_S = 1.0


def serve(
    load: LoadRequest, requests: RequestReader, emit: EventWriter, started_ns: int, standstill: StallDetector
) -> None:
    """Serve requests; returns only by an exception.

    Args:
        load: The first of them.
        requests: Trial and quality requests.
        emit: Where events go.
        started_ns: When this process began, for the load time.
        standstill: Looked at with each heartbeat.
    """
    engine = _engine(load)
    tokenizer = PromptTokenizer(Path(load.model_dir))
    if isinstance(engine, StreamEngine):
        _serve_text(engine, tokenizer, load, requests, emit)
        return
    told_ns = _tell_machine(emit)
    info, sharing = _load(engine, load, tokenizer.vocab_size, emit, started_ns + told_ns)
    turns, reader = Turns(requests.next, emit), PromptReader(engine)
    for request in requests:
        match request:
            case TrialRequest() if request.n_users > 1:
                shared = sharing is not None and sharing.shared
                window = info.context_window
                reader.forget()
                generate_for_users(engine, tokenizer, window, request, emit, standstill, turns, shared=shared)
            case TrialRequest():
                generate(reader, tokenizer, info.context_window, request, emit, standstill, turns)
            case QualityRequest():
                reader.forget()
                score(engine, tokenizer, Path(load.model_dir), info.context_window, request, emit)
            case LoadRequest():
                raise UnexpectedRequestError("the model is loaded already")
            case GoOnRequest():
                raise UnexpectedRequestError("no trial waits for its turn")
        emit.flush()


def _tell_machine(emit: EventWriter) -> int:
    """Tell it and return how long that took, in nanoseconds: no method's loading."""
    start_ns = perf_counter_ns()
    tell_machine(emit)
    return perf_counter_ns() - start_ns


def _engine(load: LoadRequest) -> Engine | StreamEngine:
    if load.streamed:
        from tuibench.engines.torch.streamed import StreamedKvCache  # noqa: PLC0415 - for one kind of worker only

        return StreamedKvCache()
    if load.endpoint is None:
        return engine_class(load.method)()
    from tuibench.engines.endpoint.engine import EndpointEngine  # noqa: PLC0415 - its TLS would load with every method

    return EndpointEngine(load.endpoint)


def _serve_text(
    engine: StreamEngine, tokenizer: PromptTokenizer, load: LoadRequest, requests: RequestReader, emit: EventWriter
) -> None:
    load_stream(engine, load, emit)
    for request in requests:
        if not isinstance(request, TrialRequest):
            raise UnexpectedRequestError(
                f"a method that hands out text is asked for trials, not {type(request).__name__}"
            )
        if request.n_users > 1:
            stream_for_users(engine, tokenizer, request, emit)
        else:
            stream(engine, tokenizer, request, emit)
        emit.flush()


def _load(
    engine: Engine, load: LoadRequest, vocabulary: int, emit: EventWriter, started_ns: int
) -> tuple[EngineInfo, Sharing | None]:
    def progress(label: str, done: int, total: int | None) -> None:
        emit(PhaseProgressed(at_ns=perf_counter_ns(), label=label, done=done, total=total))

    model_dir = Path(load.model_dir)
    prepare_start_ns = perf_counter_ns()
    emit(PhaseStarted(at_ns=prepare_start_ns, phase=Phase.PREPARE))
    if isinstance(engine, CalibratedEngine):
        engine.calibrate_on(load.calibration)
    check = SelfCheck(engine, model_dir)
    if not load.streamed:
        check_fits(load.method, model_dir)
    prepared = engine.prepare(model_dir, progress)
    prepared = check.prepare(progress) or prepared
    prepare_peak_bytes = own_memory().peak_rss_bytes if prepared else None
    load_start_ns = perf_counter_ns()
    emit(PhaseStarted(at_ns=load_start_ns, phase=Phase.LOAD))
    info = engine.load(model_dir, load.n_threads, progress)
    ready_ns = perf_counter_ns()
    checked = check.run()
    sharing = check_sharing(engine, vocabulary, info.context_window) if load.several_users else None
    if sharing is not None:
        checked["users"] = sharing.told
    emit(
        EngineReady(
            at_ns=perf_counter_ns(),
            load_ns=(ready_ns - load_start_ns) + (prepare_start_ns - started_ns),
            prepare_ns=load_start_ns - prepare_start_ns if prepared else None,
            parameters=info.parameters,
            artifact_bytes=info.artifact_bytes,
            weight_bytes=info.weight_bytes,
            context_window=info.context_window,
            facts={**info.facts, **checked},
            prepare_peak_bytes=prepare_peak_bytes,
            kv_cache=info.kv_cache,
            shares_steps=sharing.shared if sharing else None,
            memory=own_memory(),
        )
    )
    return info, sharing


def beat(emit: Callable[[Event], None], standstill: StallDetector) -> None:
    """Send a heartbeat every second from a thread of its own, until the process ends."""

    def run() -> None:
        wait = threading.Event()
        while not wait.wait(HEARTBEAT_S):
            standstill.look(woken=True)
            emit(Heartbeat(at_ns=perf_counter_ns(), rss_bytes=own_memory().rss_bytes))

    threading.Thread(target=run, name="heartbeat", daemon=True).start()


def report_failure(error: Exception, emit: EventWriter) -> None:
    """Tell the parent why this worker ends; the traceback goes to the log."""
    traceback.print_exception(error, file=sys.stderr)
    kind, message = explain(error)
    # Chat templates, plug-ins and libraries word their errors as they like; a row has one line for it.
    one_line = " ".join(message.split())
    emit(WorkerFailed(at_ns=perf_counter_ns(), kind=kind, message=one_line, memory=own_memory()))
    emit.flush()


def explain(error: Exception) -> tuple[FailureKind, str]:
    """Return of what kind an error is, and what to say of it."""
    if isinstance(error, UnsupportedModelError | UnknownMethodError | UnusableMethodError):
        return FailureKind.UNSUPPORTED, str(error)
    if isinstance(
        error, PromptError | ModelError | EvalTextError | WindowTooLongError | CalibrationError | StreamRefusedError
    ):
        return FailureKind.BAD_INPUT, str(error)
    if isinstance(
        error,
        ArtifactError | NotFiniteError | MissingReferenceError | StaleReferenceError | StreamError | WrongModelError,
    ):
        return FailureKind.ERROR, str(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, NotEnoughMemoryError):
        return FailureKind.OUT_OF_MEMORY, str(error)
    # PyTorch and ONNX Runtime raise a RuntimeError when the allocator gives up.
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "Failed to allocate memory" in text:
        return FailureKind.OUT_OF_MEMORY, f"not enough memory: {text}"
    if isinstance(error, ModuleNotFoundError):
        return FailureKind.UNSUPPORTED, f"the library {error.name} is not installed"
    return FailureKind.ERROR, text
