# ruff: noqa: ARG002 - the methods of `tuibench.engines.base.StreamEngine`
"""The measured loop of methods that hand out text."""

import gc

import pytest

from tuibench.core.run.events import FinishReason, PieceEmitted, PromptTokenised, TrialAccepted, TrialFinished
from tuibench.core.run.spec import Method, Sampling, TrialRequest
from tuibench.engines.base import Piece, StreamEngine, StreamOutcome, StreamRefusedError
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.worker.stream import stream

PROMPT = "The quick brown fox"


class ScriptedStream:
    method = Method(id="s", title="s", explanation="s", parent=None, precision="unknown", exact=False)

    def __init__(self, pieces, outcome, *, reads_text=True):
        self.pieces, self.outcome, self.reads_text = pieces, outcome, reads_text
        self.connected, self.collecting = [], []

    def prepare(self, model_dir, progress):
        return False

    def load(self, model_dir, n_threads, progress):
        return {}

    def stream(self, request):
        self.connected.append(request)
        return self._pieces()

    def _pieces(self):
        self.collecting.append(gc.isenabled())
        yield from self.pieces

    def close(self):
        pass


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return PromptTokenizer(tiny_llama.directory)


def run(tokenizer, engine, **request):
    events = []
    asked = TrialRequest(**({"prompt": PROMPT, "max_new_tokens": 4} | request))
    assert isinstance(engine, StreamEngine)
    stream(engine, tokenizer, asked, events.append)
    return events


def test_each_piece_is_an_event_with_the_engines_own_time(tokenizer):
    n_prompt = len(tokenizer.encode(PROMPT, raw=False))
    outcome = StreamOutcome(n_prompt=n_prompt, n_gen=4, n_cached=0)
    engine = ScriptedStream([Piece(11, " a", 1), Piece(12, " b", 3)], outcome)
    accepted, read, *pieces, finished = run(tokenizer, engine, turn_tokens=1)
    assert isinstance(accepted, TrialAccepted)
    assert isinstance(read, PromptTokenised)
    assert pieces == [
        PieceEmitted(at_ns=11, index=0, text=" a", n_tokens=1),
        PieceEmitted(at_ns=12, index=1, text=" b", n_tokens=3),
    ]
    assert isinstance(finished, TrialFinished)
    assert (finished.n_gen, finished.n_prompt, finished.finish_reason) == (4, n_prompt, FinishReason.LENGTH)
    assert finished.doubts == ("4 tokens came in 2 pieces: gaps are between pieces, not between tokens",)
    assert engine.connected[0].text == tokenizer.rendered(PROMPT, raw=False)
    assert engine.collecting == [False]


def test_tokens_that_nobody_counts_are_counted_here_and_said_so(tokenizer, tiny_llama):
    from transformers import AutoTokenizer

    text = " lazy dog"
    expected = len(AutoTokenizer.from_pretrained(tiny_llama.directory)(text, add_special_tokens=False)["input_ids"])
    *_, finished = run(tokenizer, ScriptedStream([Piece(1, " lazy", None), Piece(2, " dog", None)], StreamOutcome()))
    assert finished.n_gen == expected
    assert f"this model's tokenizer makes {expected} of the whole text" in " ".join(finished.doubts)
    assert "the server does not tell whether it had the prompt in its cache" in finished.doubts


def test_another_length_is_other_work_and_no_result(tokenizer):
    engine = ScriptedStream([Piece(1, " a", None)], StreamOutcome(n_gen=3, stopped=True))
    with pytest.raises(StreamRefusedError, match="it generated 3 tokens where 4 were asked for"):
        run(tokenizer, engine)
    *_, finished = run(tokenizer, engine, sampling=Sampling(temperature=1.0))
    assert (finished.n_gen, finished.finish_reason) == (3, FinishReason.EOS)


def test_a_prompt_that_the_server_reads_otherwise_and_one_that_it_had_are_said(tokenizer):
    outcome = StreamOutcome(n_prompt=3, n_gen=4, n_cached=2, reasoned=True)
    *_, finished = run(tokenizer, ScriptedStream([Piece(n, "x", 1) for n in range(4)], outcome))
    cached, other, thought = finished.doubts
    assert cached.startswith("2 of 3 tokens of the prompt came from the server's cache")
    assert other.startswith("the server read 3 tokens where this model's prompt has ")
    assert "thought" in thought


def test_a_server_with_a_template_of_its_own_is_not_said_to_read_ours(tokenizer):
    outcome = StreamOutcome(n_gen=4, n_cached=0)
    _, read, *_ = run(tokenizer, ScriptedStream([Piece(1, "x", 4)], outcome, reads_text=False))
    assert (read.n_prompt, read.text_sha256, read.doubt) == (None, None, None)
