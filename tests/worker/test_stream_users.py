"""The measured loop of several users of a server that follows a script."""

import itertools
import threading
from itertools import pairwise

import pytest

from tests.openai_server import a_token_each, completion, finish, openai_server, usage
from tests.scripted import FINISHED
from tests.worker.test_stream import ScriptedStream
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.events import FailureKind, Phase, StepEmitted, TrialFinished, UserArrived
from tuibench.core.run.record import Failure
from tuibench.core.run.shape import Shape
from tuibench.core.run.spec import TrialRequest
from tuibench.core.run.trial_state import TrialState, fold_trial, trial_record
from tuibench.core.run.users import users_of
from tuibench.engines.base import ConcurrentEngine, StreamError, StreamOutcome, StreamRefusedError
from tuibench.engines.endpoint.engine import EndpointEngine
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.store.plausible import check_record
from tuibench.worker.stream_users import stream_for_users

N_USERS, N_TOKENS = 3, 4
TEXT = "the quick brown fox jumps over the lazy dog and runs away from all the others " * 4


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return PromptTokenizer(tiny_llama.directory)


@pytest.fixture
def server():
    with openai_server() as (script, url):
        engine = EndpointEngine(Endpoint(url=url, model="tiny"))
        engine.load(None, 1, lambda *_: None)
        script.asked.clear()
        yield script, engine


def run(engine, tokenizer, **request):
    events = []
    asked = {"max_new_tokens": N_TOKENS, "prompt_tokens": 5, "running_text": TEXT, "n_users": N_USERS, **request}
    stream_for_users(engine, tokenizer, TrialRequest(prompt="", **asked), events.append)
    return events


def recorded(events, failure=None):
    shape = Shape(prompt_tokens=5, max_new_tokens=N_TOKENS, n_threads=1, n_users=N_USERS)
    state = TrialState("endpoint", 0, warmup=False, n_expected=N_USERS * N_TOKENS, shape=shape)
    for event in events:
        state = fold_trial(state, event)
    record = trial_record(state, fresh=False, observer_cpu_ns=None, validity=(), failure=failure, finished=FINISHED)
    check_record(record)
    return record


def test_all_ask_before_any_is_answered_each_with_a_prompt_of_their_own(server, tokenizer):
    script, engine = server
    assert isinstance(engine, ConcurrentEngine)
    together = threading.Barrier(N_USERS, timeout=60)

    def answer(asked):
        together.wait()
        return a_token_each(asked)

    script.events = answer
    events = run(engine, tokenizer)
    asked = [tokenizer.encode(each["prompt"], raw=True) for each in script.asked]
    text = tokenizer.encode(TEXT.strip(), raw=True)
    assert sorted(asked) == sorted(text[5 * user : 5 * (user + 1)] for user in range(N_USERS))
    steps = [event for event in events if isinstance(event, StepEmitted)]
    assert [step.index for step in steps] == list(range(N_USERS * N_TOKENS))
    assert all(before.at_ns <= after.at_ns for before, after in pairwise(steps))
    record = recorded(events)
    for user in users_of(record):
        assert (user.n_gen, len(user.step_ns), user.token_ids) == (N_TOKENS, N_TOKENS - 1, ())
    assert record.text == " one two three four" * N_USERS
    assert (record.n_told, record.n_cached, record.users_n_told) == (12, 0, (N_TOKENS,) * N_USERS)


def test_others_come_while_the_first_one_is_answered(server, tokenizer):
    """Each at its share of the first one's tokens: 4 · 1/3 is reached with the second, 4 · 2/3 with the third."""
    script, engine = server
    asks, numbers = [threading.Event() for _ in range(N_USERS)], itertools.count()

    def answer(asked):
        number = next(numbers)
        asks[number].set()
        return slowly(asked) if number == 0 else a_token_each(asked)

    def slowly(asked):
        for n, event in enumerate(a_token_each(asked)):
            if n in {2, 3}:
                asks[n - 1].wait()
            yield event

    script.events = answer
    events = run(engine, tokenizer, staggered=True)
    told = [event for event in events if isinstance(event, StepEmitted | UserArrived)]
    came = [place for place, event in enumerate(told) if isinstance(event, UserArrived)]
    assert [told[place].user for place in came] == [1, 2]
    of_first = [sum(isinstance(event, StepEmitted) and event.users == (0,) for event in told[:place]) for place in came]
    assert of_first == [2, 3]
    assert all(user.ttft_ns >= 0 for user in users_of(recorded(events)))


def test_pieces_of_several_tokens_are_counted_as_the_server_counts(server, tokenizer):
    script, engine = server
    script.events = lambda _: [completion(" a b c"), completion(" d"), finish(), usage(5, N_TOKENS), "[DONE]"]
    record = recorded(events := run(engine, tokenizer))
    assert [(user.n_gen, len(user.step_ns)) for user in users_of(record)] == [(N_TOKENS, 1)] * N_USERS
    finished = events[-1]
    assert isinstance(finished, TrialFinished)
    assert finished.doubts == ("12 tokens came in 6 pieces: gaps are between pieces, not between tokens",)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        ((429, "", {"Retry_After": "7"}), StreamError, r"too many requests \(429\).*for 7 s"),
        ((503, "", {}), StreamError, r"failed \(503\)"),
        ((400, "no", {}), StreamRefusedError, r"refuses the request \(400\)"),
    ],
)
def test_what_a_server_refuses_one_of_them_is_told_as_ever(server, tokenizer, status, kind, said):
    script, engine = server
    script.status = status
    with pytest.raises(kind, match=said):
        run(engine, tokenizer)


def test_another_length_of_one_is_no_result(server, tokenizer):
    script, engine = server
    short = [completion(" a"), finish("stop"), usage(5, 1), "[DONE]"]
    script.events = lambda asked: a_token_each(asked) if len(script.asked) < N_USERS else short
    with pytest.raises(StreamRefusedError, match="it generated 1 tokens where 4 were asked for"):
        run(engine, tokenizer)


def test_a_trial_that_fails_before_all_had_something_is_kept_as_it_came(server, tokenizer):
    events = run(server[1], tokenizer)
    late = [event for event in events if not isinstance(event, StepEmitted) or event.users != (0,)]
    failure = Failure(kind=FailureKind.ERROR, phase=Phase.DECODE, message="it broke off")
    assert recorded(late[:4], failure).users_ttft_ns == ()


def test_what_has_one_stream_is_told_so(tokenizer):
    with pytest.raises(StreamRefusedError, match="one user at a time"):
        run(ScriptedStream([], StreamOutcome()), tokenizer)
