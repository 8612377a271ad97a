"""A worker that misbehaves on request: `python scripted_worker.py BEHAVIOUR`. Speaks the real protocol until then.

`METHOD=BEHAVIOUR` is the behaviour of one method; the others' workers are good.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from tests.measure import scripted_events as say
from tuibench.core.run.events import PROTOCOL_VERSION, FailureKind, Heartbeat, Memory, Phase, TokenEmitted, WorkerFailed
from tuibench.core.run.spec import Request, TrialRequest


def load(behaviour):
    def on_phase(phase):
        if behaviour == f"hang-in-{phase}":
            beat_for_ever()
        if behaviour == "unsupported" and phase is Phase.LOAD:
            say.emit(WorkerFailed(at_ns=say.now(), kind=FailureKind.UNSUPPORTED, message="no encoder-decoders"))
            sys.exit(1)

    say.load(999 if behaviour == "other-protocol" else PROTOCOL_VERSION, on_phase)


def beat_for_ever():
    while True:
        say.emit(Heartbeat(at_ns=say.now()))
        time.sleep(0.05)


def misbehave(behaviour):  # noqa: PLR0912 - a branch for each kind of fault
    if behaviour == "segfault":
        print("about to crash", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif behaviour in {"sigkill", "dies-late"}:
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
            say.emit(TokenEmitted(at_ns=say.now(), index=index, token_id=1, text="x"))
    elif behaviour == "hang":
        beat_for_ever()
    elif behaviour == "flood":
        while True:
            say.emit(Heartbeat(at_ns=say.now()))
    elif behaviour == "real-time-signal":
        os.kill(os.getpid(), signal.SIGRTMIN + 3)
    elif behaviour == "gated":
        while not Path(sys.argv[2]).exists():
            time.sleep(0.01)
    elif behaviour == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif behaviour == "close-pipe":
        os.close(1)
        time.sleep(600)
    elif behaviour == "says-why":
        say.emit(WorkerFailed(at_ns=say.now(), kind=FailureKind.ERROR, message="ValueError: no"))
        sys.exit(1)
    elif behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        beat_for_ever()
    elif behaviour == "child":
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
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
    method, found, named = behaviour.partition("=")
    served = say.load_request().method
    if found:
        behaviour = named if served == method else "good"
    load(behaviour)
    if behaviour == "reads-nothing":
        beat_for_ever()
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=Request)
        assert isinstance(request, TrialRequest)
        doubt = "a word is not read" if behaviour == "unread" else None
        at = 20 if behaviour == "dies-late" else 2
        memory = Memory(peak_rss_bytes=1 << 20) if behaviour == "peaks" else Memory()
        say.trial(request, lambda index, at=at: misbehave(behaviour) if index == at else None, doubt, memory)
        if behaviour == "gated":
            Path(sys.argv[2]).unlink()


main()
