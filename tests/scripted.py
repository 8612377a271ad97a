"""Events and records with numbers that a test chooses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from tuibench.core.run.events import (
    EngineReady,
    Event,
    FailureKind,
    FinishReason,
    Memory,
    Phase,
    PhaseStarted,
    PromptTokenised,
    TokenEmitted,
    TrialAccepted,
    TrialFinished,
    WorkerStarted,
)
from tuibench.core.run.plan import trial_order
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.run_events import (
    RunEnded,
    RunEvent,
    RunStarted,
    TrialEnded,
    TrialObserved,
    TrialStarted,
)
from tuibench.core.run.spec import Sampling
from tuibench.store.schema import MachineHeader, ModelHeader, SessionHeader, Settings

FINISHED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def token_stream(at_ns: Sequence[int], requested_ns: int = 0, texts: Sequence[str] | None = None) -> Iterator[Event]:
    """Yield a whole trial of tokens at these times."""
    texts = texts or [f" w{index}" for index in range(len(at_ns))]
    yield TrialAccepted(at_ns=requested_ns)
    yield PromptTokenised(at_ns=requested_ns + 1, n_prompt=12)
    for index, (stamp, text) in enumerate(zip(at_ns, texts, strict=True)):
        yield TokenEmitted(at_ns=stamp, index=index, token_id=100 + index, text=text)
    yield TrialFinished(
        at_ns=at_ns[-1] if at_ns else requested_ns,
        finish_reason=FinishReason.LENGTH,
        prefill_ns=(at_ns[0] - requested_ns) // 2 if at_ns else 0,
        cpu_ns=1_000,
        memory=Memory(peak_rss_bytes=700 << 20, rss_bytes=600 << 20, rss_anon_bytes=500 << 20, rss_file_bytes=1 << 20),
    )


def engine_ready(at_ns: int = 0) -> EngineReady:
    """Return what a loaded engine says."""
    return EngineReady(
        at_ns=at_ns,
        load_ns=3_200_000_000,
        parameters=134_515_008,
        artifact_bytes=538_090_408,
        weight_bytes=538_060_032,
        context_window=8192,
        facts={"precision": "FP32"},
    )


def record(method: str = "kv-cache", *, index: int = 0, warmup: bool = False, **changes: object) -> TrialRecord:
    """Return a trial that went well."""
    fields: dict[str, object] = {
        "n_prompt": 12,
        "finish_reason": FinishReason.LENGTH,
        "load_ns": 3_200_000_000,
        "tokenise_ns": 100_000,
        "prefill_ns": 80_000_000,
        "ttft_ns": 90_000_000,
        "step_ns": (20_000_000, 30_000_000, 25_000_000),
        "token_ids": (5, 6, 7, 8),
        "piece_chars": (5, 1, 6, 2),
        "text": "Hello, world !",
        "peak_rss_bytes": 700 << 20,
        "artifact_bytes": 538_090_408,
        "parameters": 134_515_008,
        "facts": ("precision: FP32",),
        "finished": FINISHED,
    }
    return TrialRecord(method=method, index=index, warmup=warmup, **(fields | changes))  # type: ignore[arg-type]


def failed(method: str, kind: FailureKind, *, index: int = 0, message: str = "it broke") -> TrialRecord:
    """Return a trial that went wrong."""
    return TrialRecord(
        method=method,
        index=index,
        failure_kind=kind,
        failure_phase=Phase.DECODE,
        failure_message=message,
        log_tail="Traceback …",
        finished=FINISHED,
    )


def run_events(methods: Sequence[str] = ("baseline", "kv-cache"), n_tokens: int = 20) -> Iterator[RunEvent]:
    """Yield a whole run of one trial per method, the second method ten times as fast."""
    yield RunStarted(tuple(methods), trial_order(methods, 1))
    for rung, method in enumerate(methods):
        step_ns = 300_000_000 // 10**rung
        stamps = [400_000_000 + step_ns * index for index in range(n_tokens)]
        yield TrialStarted(method, 0, warmup=False, n_expected=n_tokens)
        yield TrialObserved(method, WorkerStarted(at_ns=0, protocol=1, pid=1))
        yield TrialObserved(method, PhaseStarted(at_ns=0, phase=Phase.LOAD))
        yield TrialObserved(method, engine_ready())
        for event in token_stream(stamps):
            yield TrialObserved(method, event)
        yield TrialEnded(
            record(
                method,
                ttft_ns=stamps[0],
                step_ns=(step_ns,) * (n_tokens - 1),
                token_ids=tuple(range(100, 100 + n_tokens)),
                piece_chars=tuple(len(f" w{index}") for index in range(n_tokens)),
                text="".join(f" w{index}" for index in range(n_tokens)),
            )
        )
    yield RunEnded()


def header() -> SessionHeader:
    """Return the header of a session of `baseline` and `kv-cache`."""
    return SessionHeader(
        schema_version=1,
        id="20260102-030405-test-0000",
        created=FINISHED,
        tuibench_version="0.1.0",
        model=ModelHeader(
            name="SmolLM2-135M-Instruct",
            source="HuggingFaceTB/SmolLM2-135M-Instruct",
            digest="00" * 32,
            parameters=134_515_008,
            weight_bytes=538_090_408,
            architecture="LlamaForCausalLM",
            dtype="F32",
        ),
        machine=MachineHeader(
            cpu="Example CPU",
            n_cpus=2,
            n_cpus_effective=2,
            memory_bytes=24 << 30,
            kernel="Linux 6",
            python="3.11.7",
            libraries={"torch": "2.13.0"},
        ),
        settings=Settings(
            prompt="Explain a KV-cache.",
            prompt_sha256="11" * 32,
            raw=False,
            methods=("baseline", "kv-cache"),
            max_new_tokens=4,
            n_trials=1,
            n_warmup=0,
            n_threads=2,
            order=("baseline", "kv-cache"),
            sampling=Sampling(),
        ),
    )
