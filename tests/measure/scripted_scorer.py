"""A worker whose scoring misbehaves on request: `python scripted_scorer.py METHOD=BEHAVIOUR …`. Trials always work."""

from __future__ import annotations

import os
import signal
import sys
import threading

import msgspec

from tests.measure import scripted_events as say
from tuibench.core.run.events import FailureKind, Phase, PhaseProgressed, PhaseStarted, QualityMeasured, WorkerFailed
from tuibench.core.run.spec import Request, TrialRequest


def score(behaviour, window_tokens):
    say.emit(PhaseStarted(at_ns=say.now(), phase=Phase.QUALITY))
    never = threading.Event()
    match behaviour:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            never.wait()
        case "nan":
            say.emit(WorkerFailed(at_ns=say.now(), kind=FailureKind.ERROR, message="logits are not finite"))
            sys.exit(1)
        case "report":
            say.emit(PhaseProgressed(at_ns=say.now(), label="scoring the text", done=1, total=9))
            never.wait()
        case "slow":
            for done in range(8):
                say.emit(PhaseProgressed(at_ns=say.now(), label="scoring the text", done=done, total=8))
    figures = say.figures(kld_mean=0.25, window_tokens=window_tokens)
    say.emit(QualityMeasured(at_ns=say.now(), figures=figures, duration_ns=5, reference_bytes=7))


def main():
    behaviours = dict(argument.split("=") for argument in sys.argv[1:])
    load = say.load_request()
    method = load.method
    if behaviours.get(method) == "too-large" and not load.streamed:
        say.emit(WorkerFailed(at_ns=say.now(), kind=FailureKind.OUT_OF_MEMORY, message="it takes 9 GiB, 1 GiB is free"))
        sys.exit(1)
    say.load()
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=Request)
        if isinstance(request, TrialRequest):
            say.trial(request)
        else:
            score(behaviours.get(method), request.window_tokens)


main()
