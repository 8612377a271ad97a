"""A worker that computes nothing and gives tokens at a fixed rate: `python paced_worker.py TOKENS_PER_S [apart]`.

The rate is that of all users together. They share their steps, or with `apart` have an event for each of their tokens,
as the answers of a server come.
"""

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
    StepEmitted,
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
    rate, apart = float(sys.argv[1]), sys.argv[2:] == ["apart"]
    gap_ns = round(1e9 / rate)
    sys.stdin.buffer.readline()
    emit(WorkerStarted(at_ns=time.perf_counter_ns(), protocol=PROTOCOL_VERSION, pid=os.getpid()))
    emit(EngineReady(at_ns=time.perf_counter_ns(), load_ns=1_000_000, weight_bytes=100_000_000, shares_steps=not apart))
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=Request)
        assert isinstance(request, TrialRequest)
        if request.n_users > 1:
            users = range(request.n_users)
            step = [(user,) for user in users] if apart else [tuple(users)]
            generate_for_users(request.max_new_tokens, step, gap_ns)
        else:
            generate(request.max_new_tokens, gap_ns)


def generate(n_tokens: int, gap_ns: int) -> None:
    due_ns = begin()
    for index in range(n_tokens):
        due_ns += gap_ns
        wait_until(due_ns)
        text = WORDS[index % len(WORDS)]
        emit(TokenEmitted(at_ns=time.perf_counter_ns(), index=index, token_id=index, text=text))
    end(gap_ns)


def generate_for_users(n_tokens: int, step: list[tuple[int, ...]], gap_ns: int) -> None:
    """Give each user so many tokens, those of the events of a step after so many gaps as it has tokens."""
    due_ns, index = begin(), 0
    firsts = [(user,) for users in step for user in users]
    for token in range(n_tokens):
        for users in firsts if token == 0 else step:
            due_ns += len(users) * gap_ns
            wait_until(due_ns)
            texts, ids = (WORDS[token % len(WORDS)],) * len(users), (token,) * len(users)
            emit(StepEmitted(at_ns=time.perf_counter_ns(), index=index, users=users, token_ids=ids, texts=texts))
            index += 1
    end(gap_ns)


def begin() -> int:
    due_ns = time.perf_counter_ns()
    emit(TrialAccepted(at_ns=due_ns))
    emit(PromptTokenised(at_ns=due_ns, n_prompt=32))
    return due_ns


def wait_until(due_ns: int) -> None:
    time.sleep(max(0, due_ns - time.perf_counter_ns()) / 1e9)


def end(gap_ns: int) -> None:
    now_ns = time.perf_counter_ns()
    emit(TrialFinished(at_ns=now_ns, finish_reason=FinishReason.LENGTH, prefill_ns=gap_ns, cpu_ns=0))


if __name__ == "__main__":
    main()
