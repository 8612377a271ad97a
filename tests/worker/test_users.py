"""The measured loop of several users, with engines that say what they were asked."""

import shutil
from itertools import pairwise

import numpy as np
import pytest
from tokenizers import Tokenizer, processors

from tests.worker.test_generate import ScriptedEngine
from tuibench.core.run.events import PromptTokenised, StepEmitted, TrialFinished, TurnEnded, UserArrived
from tuibench.core.run.spec import GoOnRequest, TrialRequest
from tuibench.engines.base import BatchEngine
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.worker.batch_check import check_sharing
from tuibench.worker.stall_detector import StallDetector
from tuibench.worker.turns import Turns
from tuibench.worker.users import generate_for_users

TEXT = "the quick brown fox jumps over the lazy dog and runs away from all the others " * 4


class BatchedScript(ScriptedEngine):
    """The next token is the latest one plus one, whoever asks; `mixes` lets the first one's token reach the others."""

    why_alone = None
    mixes = False

    def begin_batch(self, n_sequences, max_length):
        self.read, self.steps = {}, []
        self.n_sequences, self.max_length = n_sequences, max_length

    def _next(self, token_id):
        logits = np.zeros(self.vocabulary, dtype=np.float32)
        logits[(token_id + 1) % self.vocabulary] = 50
        return logits

    def prefill(self, token_ids, max_length):
        self.max_length = max_length
        return self._next(token_ids[-1])

    def decode(self, token_id):
        return self._next(token_id)

    def read_sequence(self, sequence, token_ids):
        self.read.setdefault(sequence, []).extend(token_ids)
        return self._next(token_ids[-1])

    def decode_batch(self, sequences, token_ids):
        self.steps.append(tuple(sequences))
        return np.stack([self._next(token_ids[0] if self.mixes else token_id) for token_id in token_ids])


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return PromptTokenizer(tiny_llama.directory)


@pytest.fixture(scope="module")
def tokenizer_with_bos(tiny_llama, tmp_path_factory):
    """One that begins every text with token 0, as Llama 3's does."""
    folder = tmp_path_factory.mktemp("with-bos")
    for path in tiny_llama.directory.glob("*.json"):
        shutil.copy(path, folder)
    changed = Tokenizer.from_file(str(folder / "tokenizer.json"))
    changed.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    changed.save(str(folder / "tokenizer.json"))
    return PromptTokenizer(folder)


def run(engine, tokenizer, *, shared=True, **request):
    events = []
    asked = {"max_new_tokens": 4, "prompt_tokens": 6, "running_text": TEXT, "n_users": 2, **request}
    generate_for_users(
        engine, tokenizer, None, TrialRequest(prompt="", **asked), events.append, StallDetector(1),
        Turns(GoOnRequest, events.append), shared=shared,
    )  # fmt: skip
    return events


def steps_of(events):
    return [event for event in events if isinstance(event, StepEmitted)]


@pytest.fixture
def engine(tokenizer):
    return BatchedScript([0], tokenizer.vocab_size)


def test_all_are_read_and_then_share_every_step(engine, tokenizer):
    steps = steps_of(events := run(engine, tokenizer))
    assert [step.users for step in steps] == [(0,), (1,), (0, 1), (0, 1), (0, 1)]
    assert [step.index for step in steps] == list(range(5))
    assert engine.steps == [(0, 1)] * 3
    assert [event.n_prompt for event in events if isinstance(event, PromptTokenised)] == [6]
    assert isinstance(events[-1], TrialFinished)


def test_each_has_the_next_part_of_the_text_behind_a_depth_of_its_own(engine, tokenizer):
    run(engine, tokenizer, depth_tokens=5, n_users=3)
    text = tokenizer.encode(TEXT.strip(), raw=True)
    assert engine.read == {user: text[11 * user : 11 * (user + 1)] for user in range(3)}
    assert engine.max_length == 5 + 6 + 4


@pytest.mark.parametrize("depth", [0, 5])
def test_all_begin_as_the_first_does_where_the_tokenizer_begins_every_text(
    engine, tokenizer, tokenizer_with_bos, depth
):
    events = run(engine, tokenizer_with_bos, depth_tokens=depth, n_users=3)
    assert [event.n_prompt for event in events if isinstance(event, PromptTokenised)] == [6]
    text, length = tokenizer.encode(TEXT.strip(), raw=True), depth + 6
    assert engine.read == {user: [0, *text[length * user :][: length - 1]] for user in range(3)}


def test_who_comes_later_is_read_between_steps_and_stays_longer(engine, tokenizer):
    events = run(engine, tokenizer, staggered=True)
    told = [event for event in events if isinstance(event, StepEmitted | UserArrived)]
    assert [event.user if isinstance(event, UserArrived) else event.users for event in told] == [
        (0,), (0,), 1, (1,), (0, 1), (0, 1), (1,),
    ]  # fmt: skip
    tokens = [
        token for step in steps_of(events) for user, token in zip(step.users, step.token_ids, strict=True) if user
    ]
    assert [after - before for before, after in pairwise(tokens)] == [1, 1, 1]


def test_without_a_batch_they_come_one_after_the_other(tokenizer):
    steps = steps_of(run(ScriptedEngine([5], tokenizer.vocab_size), tokenizer, shared=False))
    assert [step.users for step in steps] == [(0,)] * 4 + [(1,)] * 4


def test_a_turn_ends_after_so_many_steps(engine, tokenizer):
    events = run(engine, tokenizer, turn_tokens=2)
    kinds = [type(event) for event in events if isinstance(event, StepEmitted | TurnEnded)]
    assert kinds == [StepEmitted, StepEmitted, TurnEnded, StepEmitted, StepEmitted, TurnEnded, StepEmitted]


def test_sharing_is_tried_before_it_is_relied_on(engine):
    assert isinstance(engine, BatchEngine)
    assert check_sharing(engine, 100, None).shared
    engine.mixes = True
    found = check_sharing(engine, 100, None)
    assert not found.shared
    assert "sharing a step changes what is predicted" in found.told
    assert "one sequence a step" in check_sharing(ScriptedEngine([5], 100), 100, None).told
