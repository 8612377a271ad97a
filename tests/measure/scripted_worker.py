"""A worker that misbehaves on request: `python scripted_worker.py BEHAVIOUR`. Speaks the real protocol until then."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from tuibench.core.events import (
    PROTOCOL_VERSION,
    EngineReady,
    FailureKind,
    FinishReason,
    Heartbeat,
    Phase,
    PhaseStarted,
    PromptTokenised,
    TokenEmitted,
    TrialAccepted,
    TrialFinished,
    WorkerFailed,
    WorkerStarted,
    encode,
)
from tuibench.core.spec import Request, TrialRequest


def emit(event):
    sys.stdout.buffer.write(encode(event))
    sys.stdout.buffer.flush()


def now():
    return time.perf_counter_ns()


def load(behaviour):
    sys.stdin.buffer.readline()
    protocol = 999 if behaviour == "other-protocol" else PROTOCOL_VERSION
    emit(WorkerStarted(at_ns=now(), protocol=protocol, pid=os.getpid()))
    emit(PhaseStarted(at_ns=now(), phase=Phase.LOAD))
    if behaviour == "hang-in-load":
        beat_for_ever()
    if behaviour == "unsupported":
        emit(WorkerFailed(at_ns=now(), kind=FailureKind.UNSUPPORTED, message="no encoder-decoders"))
        sys.exit(1)
    emit(EngineReady(at_ns=now(), load_ns=1_000_000, parameters=10, facts={"precision": "FP32"}))


def beat_for_ever():
    while True:
        emit(Heartbeat(at_ns=now()))
        time.sleep(0.05)


def trial(behaviour, request):
    emit(TrialAccepted(at_ns=now()))
    emit(PromptTokenised(at_ns=now(), n_prompt=3))
    for index in range(request.max_new_tokens):
        emit(TokenEmitted(at_ns=now(), index=index, token_id=index, text=f" {index}"))
        if index == 2:
            misbehave(behaviour)
    emit(TrialFinished(at_ns=now(), finish_reason=FinishReason.LENGTH, prefill_ns=5, cpu_ns=7))


def misbehave(behaviour):  # noqa: PLR0912
    if behaviour == "segfault":
        print("about to crash", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif behaviour == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif behaviour == "exit-3":
        sys.exit(3)
    elif behaviour == "rubbish":
        print("Loading \x1b[2J model…", flush=True)
    elif behaviour == "not-utf8":
        sys.stdout.buffer.write(b"\xff\xfe\x00\n")
        sys.stdout.buffer.flush()
    elif behaviour == "endless-line":
        while True:
            sys.stdout.buffer.write(b"x" * 65536)
    elif behaviour == "endless-tokens":
        for index in range(3, 10_000_000):
            emit(TokenEmitted(at_ns=now(), index=index, token_id=1, text="x"))
    elif behaviour == "hang":
        beat_for_ever()
    elif behaviour == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif behaviour == "close-pipe":
        os.close(1)
        time.sleep(60)
    elif behaviour == "says-why":
        emit(WorkerFailed(at_ns=now(), kind=FailureKind.ERROR, message="ValueError: no"))
        sys.exit(1)
    elif behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        beat_for_ever()
    elif behaviour == "child":
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
        beat_for_ever()
    elif behaviour == "first-only":
        marker = Path(sys.argv[2])
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def main():
    behaviour = sys.argv[1]
    if behaviour == "not-a-worker":
        print("hello")
        return
    load(behaviour)
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=Request)
        assert isinstance(request, TrialRequest)
        trial(behaviour, request)


main()
