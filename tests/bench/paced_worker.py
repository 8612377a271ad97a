"""A worker that computes nothing and gives tokens at a fixed rate: `python paced_worker.py TOKENS_PER_S`."""

from __future__ import annotations

import os
import sys
import time

import msgspec

from tuibench.core.run.events import (
    PROTOCOL_VERSION,
    EngineReady,
    Event,
    FinishReason,
    PromptTokenised,
    TokenEmitted,
    TrialAccepted,
    TrialFinished,
    WorkerStarted,
    encode,
)
from tuibench.core.run.spec import Request, TrialRequest

WORDS = (
    " the",
    " cache",
    " keeps",
    " keys",
    " and",
    " values",
    ",",
    " so",
    " that",
    " a",
    " step",
    " is",
    " short",
    ".\n",
)


def emit(event: Event) -> None:
    sys.stdout.buffer.write(encode(event))
    sys.stdout.buffer.flush()


def main() -> None:
    gap_ns = round(1e9 / float(sys.argv[1]))
    sys.stdin.buffer.readline()
    emit(WorkerStarted(at_ns=time.perf_counter_ns(), protocol=PROTOCOL_VERSION, pid=os.getpid()))
    emit(EngineReady(at_ns=time.perf_counter_ns(), load_ns=1_000_000, weight_bytes=100_000_000))
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=Request)
        assert isinstance(request, TrialRequest)
        generate(request.max_new_tokens, gap_ns)


def generate(n_tokens: int, gap_ns: int) -> None:
    due_ns = time.perf_counter_ns()
    emit(TrialAccepted(at_ns=due_ns))
    emit(PromptTokenised(at_ns=due_ns, n_prompt=32))
    for index in range(n_tokens):
        due_ns += gap_ns
        time.sleep(max(0, due_ns - time.perf_counter_ns()) / 1e9)
        text = WORDS[index % len(WORDS)]
        emit(TokenEmitted(at_ns=time.perf_counter_ns(), index=index, token_id=index, text=text))
    now_ns = time.perf_counter_ns()
    emit(TrialFinished(at_ns=now_ns, finish_reason=FinishReason.LENGTH, prefill_ns=gap_ns, cpu_ns=0))


if __name__ == "__main__":
    main()
