"""Whether a server reads a prompt again is seen by the time it takes."""

import itertools
import time

import pytest

from tests.openai_server import completion, finish, openai_server, usage
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.spec import Sampling
from tuibench.engines.base import StreamError, StreamRequest
from tuibench.engines.endpoint.engine import EndpointEngine
from tuibench.engines.endpoint.prompt_cache import PromptCache, observe
from tuibench.worker.stream import doubts_of

PROMPT = "What is said here is read once, and then again. " * 12
REQUEST = StreamRequest(prompt=PROMPT[:150], text=PROMPT[:150], max_new_tokens=2, sampling=Sampling())


class Reader:
    """What reading takes where prompts are kept, as many as `n_kept`; `slow` are requests that take 60 ms more."""

    def __init__(self, n_kept, least_ns=20_000_000, char_ns=200_000, slow=()):
        self.n_kept, self.least_ns, self.char_ns, self.slow = n_kept, least_ns, char_ns, slow
        self.kept, self.asked = [], []

    def __call__(self, text):
        n_chars = 0 if text in self.kept else len(text)
        self.kept = [*self.kept, text][-self.n_kept :] if self.n_kept else []
        self.asked.append(text)
        return self.least_ns + n_chars * self.char_ns + (60_000_000 if len(self.asked) in self.slow else 0)


SEEN = [(0, PromptCache.READ_ANEW), (1, PromptCache.UNTIL_ANOTHER), (9, PromptCache.KEPT)]


@pytest.mark.parametrize(("n_kept", "seen"), SEEN)
def test_a_text_that_comes_again_shows_what_becomes_of_prompts(n_kept, seen):
    reader = Reader(n_kept)
    assert observe(PROMPT, reader) is seen
    assert all(len(text) < 520 for text in reader.asked)
    assert PROMPT not in reader.asked


@pytest.mark.parametrize(("n_kept", "seen"), SEEN)
@pytest.mark.parametrize("number", range(1, 12))
def test_one_reading_that_is_disturbed_changes_nothing(n_kept, seen, number):
    assert observe(PROMPT, Reader(n_kept, slow=(number,))) is seen


@pytest.mark.parametrize("char_ns", [0, 20_000])
def test_where_texts_take_hardly_more_than_none_nothing_is_said(char_ns):
    assert observe(PROMPT, Reader(9, char_ns=char_ns)) is None


def test_a_server_that_takes_too_long_is_left_alone(monkeypatch):
    now_s = itertools.count(step=20.0)
    monkeypatch.setattr("tuibench.engines.endpoint.prompt_cache.time.monotonic", lambda: next(now_s))
    reader = Reader(9)
    assert observe(PROMPT, reader) is None
    assert len(reader.asked) == 2


@pytest.fixture
def server():
    """A server that needs 1 ms a letter, tells nothing of its cache, and keeps `script.n_kept` prompts."""
    with openai_server() as (script, url):
        script.n_kept, script.kept, script.fails_from = 0, [], None

        def events(asked):
            text = asked["prompt"]
            if script.fails_from is not None and len(script.asked) >= script.fails_from:
                return ["{broken"]
            if text not in script.kept:
                time.sleep(0.001 * len(text))
            script.kept = [*script.kept, text][-script.n_kept :] if script.n_kept else []
            words = [completion(" a")] * asked["max_tokens"]
            return [*words, finish(), usage(1, asked["max_tokens"], n_cached=None), "[DONE]"]

        script.events = events
        yield script, url


def outcome_of(url):
    engine = EndpointEngine(Endpoint(url=url, model="tiny"))
    engine.load(None, 1, lambda *_: None)
    list(engine.stream(REQUEST))
    return engine.outcome, engine


def doubts(outcome):
    return doubts_of(outcome, n_pieces=2, n_gen=2, n_prompt=1)


def test_a_prompt_that_is_kept_and_not_told_is_told_here(server):
    script, url = server
    script.n_kept = 20
    outcome, engine = outcome_of(url)
    assert outcome.prompt_kept is True
    n_asked = len(script.asked)
    list(engine.stream(REQUEST))
    assert len(script.asked) == n_asked + 1  # it was seen already
    assert any("keeps prompts and does not tell" in doubt for doubt in doubts(outcome))


def test_a_server_that_reads_all_again_is_not_doubted(server):
    _, url = server
    outcome, _ = outcome_of(url)
    assert outcome.prompt_kept is False
    assert doubts(outcome) == []


def test_a_prompt_that_is_kept_until_another_comes_is_displaced_before_each_trial(server):
    script, url = server
    script.n_kept = 1
    outcome, engine = outcome_of(url)
    assert outcome.prompt_kept is False
    *_, between, measured = script.asked
    assert between["prompt"] != measured["prompt"] == REQUEST.text
    beside = engine.beside()
    list(beside.stream(REQUEST))
    assert script.asked[-2]["max_tokens"] == 2  # nothing is sent between what is asked at once
    assert beside.outcome.prompt_kept is True


def test_what_fails_while_a_prompt_is_displaced_is_one_line(server):
    script, url = server
    script.n_kept = 1
    _, engine = outcome_of(url)
    script.status = (429, '{"error": {"message": "slow down"}}', {"Retry_After": "20"})
    with pytest.raises(StreamError, match=r"too many requests \(429\), it says: slow down: leave it alone for 20 s"):
        engine.stream(REQUEST)


def test_what_fails_while_a_prompt_is_tried_leaves_it_open(server):
    script, url = server
    engine = EndpointEngine(Endpoint(url=url, model="tiny"))
    engine.load(None, 1, lambda *_: None)
    script.fails_from = len(script.asked) + 3
    pieces = engine.stream(REQUEST)
    script.fails_from = None
    list(pieces)
    assert engine.outcome.prompt_kept is None


def test_what_a_server_tells_of_a_trial_goes_before_what_was_seen(server):
    script, url = server
    script.n_kept = 20
    outcome, engine = outcome_of(url)
    assert outcome.prompt_kept is True
    script.events = lambda asked: [completion(" a"), finish(), usage(1, asked["max_tokens"], n_cached=0), "[DONE]"]
    list(engine.stream(REQUEST))
    assert (engine.outcome.n_cached, engine.outcome.prompt_kept) == (0, None)


def test_a_server_that_tells_what_was_cached_is_not_tried():
    with openai_server() as (script, url):
        outcome, _ = outcome_of(url)
        assert (outcome.n_cached, outcome.prompt_kept) == (0, None)
        assert len(script.asked) == 2
