"""What a well-behaved worker says, for scripts that misbehave later."""

from __future__ import annotations

import os
import sys
import time

import msgspec

from tuibench.core.run.events import (
    PROTOCOL_VERSION,
    ConditionsRead,
    EngineReady,
    FinishReason,
    MachineTold,
    Memory,
    Phase,
    PhaseStarted,
    PromptTokenised,
    QualityFigures,
    TokenEmitted,
    TrialAccepted,
    TrialFinished,
    TurnBegan,
    TurnEnded,
    WorkerStarted,
    encode,
)
from tuibench.core.run.spec import GoOnRequest, LoadRequest, Request
from tuibench.machine.conditions import read_conditions
from tuibench.machine.effective_cpus import effective_cpus
from tuibench.machine.fingerprint import machine_header


def emit(event):
    sys.stdout.buffer.write(encode(event))
    sys.stdout.buffer.flush()


def now():
    return time.perf_counter_ns()


def load_request():
    return msgspec.json.decode(sys.stdin.buffer.readline(), type=LoadRequest)


def load(protocol=PROTOCOL_VERSION, on_phase=lambda _: None):
    """Answer a load request; `on_phase` is called in each phase."""
    on_phase(Phase.START)
    emit(WorkerStarted(at_ns=now(), protocol=protocol, pid=os.getpid()))
    emit(MachineTold(at_ns=now(), machine=machine_header(), cpus=effective_cpus()))
    for phase in (Phase.PREPARE, Phase.LOAD):
        emit(PhaseStarted(at_ns=now(), phase=phase))
        on_phase(phase)
    emit(
        EngineReady(
            at_ns=now(),
            load_ns=1_000_000,
            parameters=10,
            weight_bytes=10**9,
            context_window=50_000,
            facts={"precision": "FP32"},
        )
    )


def conditions():
    emit(ConditionsRead(at_ns=now(), conditions=read_conditions(os.getpid(), observer_pid=os.getppid())))


def trial(request, on_token=lambda _: None, doubt=None, memory=Memory()):  # noqa: B008 - frozen
    """Answer a trial request; `on_token` is called after each token. The text that is read tells the request's day."""
    conditions()
    emit(TrialAccepted(at_ns=now()))
    emit(PromptTokenised(at_ns=now(), n_prompt=3, text_sha256=f"{request.prompt_date}", doubt=doubt))
    for index in range(request.max_new_tokens):
        emit(TokenEmitted(at_ns=now(), index=index, token_id=index, text=f" {index}"))
        on_token(index)
        if request.turn_tokens and (index + 1) % request.turn_tokens == 0 and index + 1 < request.max_new_tokens:
            conditions()
            emit(TurnEnded(at_ns=now()))
            assert isinstance(msgspec.json.decode(sys.stdin.buffer.readline(), type=Request), GoOnRequest)
            conditions()
            emit(TurnBegan(at_ns=now()))
    conditions()
    emit(TrialFinished(at_ns=now(), finish_reason=FinishReason.LENGTH, prefill_ns=5, cpu_ns=7, memory=memory))


def figures(**known):
    n_needed = len(QualityFigures.__struct_fields__) - len(QualityFigures.__struct_defaults__)
    needed = dict.fromkeys(QualityFigures.__struct_fields__[:n_needed], 0)
    return QualityFigures(**{**needed, "n_scored": 100, **known})
