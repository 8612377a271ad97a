import gc
import hashlib
import shutil

import numpy as np
import pytest

from tuibench.core.run.events import (
    ConditionsRead,
    FinishReason,
    GuessCounts,
    PromptTokenised,
    TokenEmitted,
    TrialAccepted,
    TrialFinished,
    TurnBegan,
    TurnEnded,
)
from tuibench.core.run.spec import GoOnRequest, Sampling, TrialRequest
from tuibench.engines.base import Guesses
from tuibench.models.text.tokenizer import PromptError, PromptTokenizer
from tuibench.worker import generate as generation
from tuibench.worker import timed_part
from tuibench.worker.generate import generate
from tuibench.worker.memory import own_memory
from tuibench.worker.pipe import UnexpectedRequestError
from tuibench.worker.prompt import PromptReader
from tuibench.worker.stall_detector import StallDetector
from tuibench.worker.turns import Turns


class ScriptedEngine:
    """Writes the tokens it is given, whatever the prompt."""

    def __init__(self, tokens, vocabulary):
        self.tokens, self.vocabulary = list(tokens), vocabulary
        self.fed, self.prompt, self.collecting = [], None, []

    def _logits(self):
        self.collecting.append(gc.isenabled())
        logits = np.zeros(self.vocabulary, dtype=np.float32)
        wanted = self.tokens[len(self.fed) % len(self.tokens)]
        logits[wanted], logits[(wanted + 1) % self.vocabulary] = 50, 40
        return logits

    def prefill(self, token_ids, max_length):
        self.prompt, self.max_length = list(token_ids), max_length
        return self._logits()

    def decode(self, token_id):
        self.fed.append(token_id)
        return self._logits()


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return PromptTokenizer(tiny_llama.directory)


def run(tokenizer, tokens, window=None, prompt="hello", **request):
    engine = ScriptedEngine(tokens, tokenizer.vocab_size)
    events = []
    request = {"max_new_tokens": 5, **request}
    generate(
        PromptReader(engine),
        tokenizer,
        window,
        TrialRequest(prompt=prompt, **request),
        events.append,
        StallDetector(1),
        Turns(GoOnRequest, events.append),
    )
    return engine, events


def text_tokens(tokenizer, text):
    return tokenizer.encode(text, raw=True)


def test_events_come_in_order_and_their_times_never_fall(tokenizer):
    _, events = run(tokenizer, text_tokens(tokenizer, "abc"))
    kinds = [type(event) for event in events]
    told = [TrialAccepted, PromptTokenised, *[TokenEmitted] * 5, ConditionsRead, TrialFinished]
    assert kinds == [ConditionsRead, *told]
    _, in_turns = run(tokenizer, text_tokens(tokenizer, "abc"), turn_tokens=2)
    assert sum(isinstance(event, TurnEnded) for event in in_turns) == 2
    for told in (events, in_turns):
        stamps = [event.at_ns for event in told]
        assert stamps == sorted(stamps)


def test_sampling_is_told_apart_from_the_steps(tokenizer, monkeypatch):
    """The clock moves while tokens are picked, and by 1000 times as much in a step."""
    now_ns = 0

    def take(method, ns):
        def timed(*arguments):
            nonlocal now_ns
            now_ns += ns
            return method(*arguments)

        return timed

    for module in (generation, timed_part):
        monkeypatch.setattr(module, "perf_counter_ns", lambda: now_ns)
    monkeypatch.setattr(generation.Sampler, "pick", take(generation.Sampler.pick, 7))
    monkeypatch.setattr(ScriptedEngine, "decode", take(ScriptedEngine.decode, 7000))
    _, events = run(tokenizer, text_tokens(tokenizer, "abc"))
    assert events[-1].sampling_ns == 5 * 7
    assert events[-1].at_ns == 5 * 7 + 4 * 7000


def test_each_token_is_fed_back_except_the_last(tokenizer):
    engine, events = run(tokenizer, text_tokens(tokenizer, "abc"))
    emitted = [event.token_id for event in events if isinstance(event, TokenEmitted)]
    assert engine.fed == emitted[:-1]
    assert engine.max_length == len(engine.prompt) + 5


def test_forced_length_goes_past_eos_without_writing_it(tokenizer):
    eos = next(iter(tokenizer.eos_ids))
    _, events = run(tokenizer, [eos])
    tokens = [event.token_id for event in events if isinstance(event, TokenEmitted)]
    assert len(tokens) == 5
    assert eos not in tokens
    assert events[-1].finish_reason is FinishReason.LENGTH


def test_free_generation_ends_at_eos_which_is_not_counted(tokenizer):
    eos = next(iter(tokenizer.eos_ids))
    letters = text_tokens(tokenizer, "ab")
    _, events = run(tokenizer, [*letters, eos], sampling=Sampling(temperature=0.01))
    assert [event.token_id for event in events if isinstance(event, TokenEmitted)] == letters
    assert events[-1].finish_reason is FinishReason.EOS


def test_the_window_ends_a_generation(tokenizer):
    n_prompt = len(tokenizer.encode("hello", raw=False))
    engine, events = run(tokenizer, text_tokens(tokenizer, "abc"), window=n_prompt + 2)
    assert sum(isinstance(event, TokenEmitted) for event in events) == 2
    assert events[-1].finish_reason is FinishReason.WINDOW
    assert engine.max_length == n_prompt + 2


def test_a_prompt_that_fills_the_window_is_refused_with_both_numbers(tokenizer):
    n_prompt = len(tokenizer.encode("hello", raw=False))
    with pytest.raises(PromptError, match=rf"{n_prompt} tokens .* only {n_prompt}"):
        run(tokenizer, [5], window=n_prompt)


def test_a_prompt_without_tokens_is_refused(tokenizer):
    with pytest.raises(PromptError, match="no tokens"):
        run(tokenizer, [5], prompt="", raw=True)


def test_text_split_inside_characters_arrives_whole(tokenizer):
    text = "né 漢字 👩‍🚀!"
    tokens = text_tokens(tokenizer, text)
    _, events = run(tokenizer, tokens, max_new_tokens=len(tokens))
    pieces = [event.text for event in events if isinstance(event, TokenEmitted)]
    assert "".join(pieces) + events[-1].text_tail == tokenizer.decode(tokens)
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)
    assert len(tokens) > len([piece for piece in pieces if piece])  # some tokens complete no character


def test_an_engine_that_guesses_is_asked_how_it_went(tokenizer):
    class GuessingScript(ScriptedEngine):
        guesses = Guesses(n_steps=2, n_guessed=6, n_accepted=3)

    events = []
    generate(
        PromptReader(GuessingScript(text_tokens(tokenizer, "abc"), tokenizer.vocab_size)),
        tokenizer,
        None,
        TrialRequest(prompt="hello", max_new_tokens=3),
        events.append,
        StallDetector(1),
        Turns(GoOnRequest, events.append),
    )
    assert events[-1].guesses == GuessCounts(n_steps=2, n_guessed=6, n_accepted=3)
    assert run(tokenizer, text_tokens(tokenizer, "abc"))[1][-1].guesses is None


def test_no_garbage_collection_inside_the_timed_window(tokenizer):
    engine, _ = run(tokenizer, text_tokens(tokenizer, "abc"))
    assert engine.collecting == [False] * 5
    assert gc.isenabled()


def test_own_memory_is_the_kernels_high_water_mark():
    before = own_memory()
    block = np.ones(64 << 20, dtype=np.uint8)
    after = own_memory()
    assert after.peak_rss_bytes - before.rss_bytes >= block.nbytes * 0.9
    assert after.rss_anon_bytes + after.rss_file_bytes <= after.rss_bytes


def tokenised(events):
    return next(event for event in events if isinstance(event, PromptTokenised))


def test_what_the_model_reads_is_told_before_it_is_read(tokenizer):
    _, events = run(tokenizer, text_tokens(tokenizer, "abc"), prompt="hello")
    read = tokenised(events)
    text = tokenizer.rendered("hello", raw=False)
    assert (read.text_sha256, read.doubt) == (hashlib.sha256(text.encode()).hexdigest(), None)
    assert read.n_prompt == len(tokenizer.encode("hello", raw=False))


def test_a_token_that_the_model_has_no_row_for_is_refused_before_it_is_run(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama.directory, tmp_path / "model")
    (folder / "special_tokens_map.json").write_text('{"pad_token": "<|pad|>"}')
    tokenizer = PromptTokenizer(folder)
    with pytest.raises(PromptError, match=r"<\|pad\|>.* 384, .* only 384 rows"):
        run(tokenizer, [5], prompt="hello <|pad|>")
    assert tokenised(run(tokenizer, [5], prompt="hello")[1]).doubt is None


def test_a_trial_in_turns_waits_between_them_and_generates_the_same(tokenizer):
    ids = text_tokens(tokenizer, "abcdefg")
    _, whole = run(tokenizer, ids, max_new_tokens=7)
    _, events = run(tokenizer, ids, max_new_tokens=7, turn_tokens=3)
    kinds = [type(event).__name__ for event in events if isinstance(event, TokenEmitted | TurnEnded | TurnBegan)]
    pause = ["TurnEnded", "TurnBegan"]
    assert kinds == [*["TokenEmitted"] * 3, *pause, *["TokenEmitted"] * 3, *pause, "TokenEmitted"]
    assert tokens_of(events) == tokens_of(whole)


def test_no_turn_ends_with_the_last_token(tokenizer):
    _, events = run(tokenizer, text_tokens(tokenizer, "abcdef"), max_new_tokens=6, turn_tokens=3)
    assert [type(event) for event in events].count(TurnEnded) == 1


def test_what_a_waiting_trial_does_not_expect_ends_its_worker(tokenizer):
    events = []
    turns = Turns(lambda: TrialRequest(prompt="x", max_new_tokens=1), events.append)
    engine = ScriptedEngine(text_tokens(tokenizer, "abc"), tokenizer.vocab_size)
    request = TrialRequest(prompt="hello", max_new_tokens=3, turn_tokens=1)
    with pytest.raises(UnexpectedRequestError, match="go on"):
        generate(PromptReader(engine), tokenizer, None, request, events.append, StallDetector(1), turns)


def tokens_of(events):
    return [event.token_id for event in events if isinstance(event, TokenEmitted)]
