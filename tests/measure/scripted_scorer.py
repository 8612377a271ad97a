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

FIGURES = say.figures(kld_mean=0.25)


def score(behaviour):
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
    say.emit(QualityMeasured(at_ns=say.now(), figures=FIGURES, duration_ns=5, reference_bytes=7))


def main():
    behaviours = dict(argument.split("=") for argument in sys.argv[1:])
    method = say.load_request().method
    say.load()
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=Request)
        if isinstance(request, TrialRequest):
            say.trial(request)
        else:
            score(behaviours.get(method))


main()
