"""Whether a server reads a prompt again is seen by the time it takes."""

import time

import pytest

from tests.openai_server import completion, finish, openai_server, usage
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.spec import Sampling
from tuibench.engines.base import StreamRequest
from tuibench.engines.endpoint.engine import EndpointEngine
from tuibench.engines.endpoint.prompt_cache import PromptCache, observe
from tuibench.worker.stream import doubts_of

REQUEST = StreamRequest(prompt="Hello", text="Hello", max_new_tokens=2, sampling=Sampling())


class Reader:
    """What reading takes where prompts are kept, as many as `n_kept`."""

    def __init__(self, n_kept, least_ns=20_000_000, word_ns=2_000_000):
        self.n_kept, self.least_ns, self.word_ns = n_kept, least_ns, word_ns
        self.kept = []
        self.n_words = 0

    def __call__(self, text):
        n_words = 0 if text in self.kept else len(text.split())
        self.kept = [*self.kept, text][-self.n_kept :] if self.n_kept else []
        self.n_words += len(text.split())
        return self.least_ns + n_words * self.word_ns


@pytest.mark.parametrize(
    ("n_kept", "seen"),
    [(0, PromptCache.READ_ANEW), (1, PromptCache.UNTIL_ANOTHER), (9, PromptCache.KEPT)],
)
def test_a_text_that_comes_again_shows_what_becomes_of_prompts(n_kept, seen):
    assert observe(Reader(n_kept)) is seen


def test_a_quick_server_is_given_longer_texts():
    quick = Reader(9, word_ns=200_000)
    assert observe(quick) is PromptCache.KEPT
    assert quick.n_words > 1000


def test_where_texts_of_any_length_take_the_same_nothing_is_said():
    assert observe(Reader(9, word_ns=0)) is None


@pytest.fixture
def server():
    """A server that needs 5 ms a word, tells nothing of its cache, and keeps `script.n_kept` prompts."""
    with openai_server() as (script, url):
        script.n_kept, script.kept = 0, []

        def events(asked):
            text = asked["prompt"]
            if text not in script.kept:
                time.sleep(0.005 * len(text.split()))
            script.kept = [*script.kept, text][-script.n_kept :] if script.n_kept else []
            words = [completion(" a")] * asked["max_tokens"]
            return [*words, finish(), usage(1, asked["max_tokens"], n_cached=None), "[DONE]"]

        script.events = events
        yield script, url


def outcome_of(url):
    engine = EndpointEngine(Endpoint(url=url, model="tiny"))
    facts = engine.load(None, 1, lambda *_: None)
    list(engine.stream(REQUEST))
    return engine.outcome, facts


def doubts(outcome):
    return doubts_of(outcome, n_pieces=2, n_gen=2, n_prompt=1)


def test_a_prompt_that_is_kept_and_not_told_is_told_here(server):
    script, url = server
    script.n_kept = 20
    outcome, facts = outcome_of(url)
    assert outcome.prompt_kept is True
    assert facts["prompts"] == "kept, as seen"
    assert any("keeps prompts and does not tell" in doubt for doubt in doubts(outcome))


def test_a_server_that_reads_all_again_is_not_doubted(server):
    _, url = server
    outcome, facts = outcome_of(url)
    assert outcome.prompt_kept is False
    assert facts["prompts"].startswith("read anew")
    assert doubts(outcome) == []


def test_a_prompt_that_is_kept_until_another_comes_is_displaced_before_each_trial(server):
    script, url = server
    script.n_kept = 1
    outcome, _ = outcome_of(url)
    assert outcome.prompt_kept is False
    *_, between, measured = script.asked
    assert between["prompt"] != "Hello"
    assert measured["prompt"] == "Hello"
    engine = EndpointEngine(Endpoint(url=url, model="tiny"))
    engine.load(None, 1, lambda *_: None)
    beside = engine.beside()
    list(beside.stream(REQUEST))
    assert script.asked[-2]["max_tokens"] == 1  # nothing is sent between what is asked at once
    assert beside.outcome.prompt_kept is True


def test_a_server_that_tells_what_was_cached_is_not_tried():
    with openai_server() as (script, url):
        outcome, facts = outcome_of(url)
        assert (outcome.n_cached, outcome.prompt_kept) == (0, None)
        assert "prompts" not in facts
        assert len(script.asked) == 2
