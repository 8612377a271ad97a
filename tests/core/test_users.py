"""A trial of several users: what is recorded, what it says, and that a replay shows the same again."""

from itertools import pairwise

import msgspec
import pytest

from tests.scripted import FINISHED
from tuibench.core.results.metrics import (
    DECODE,
    GOODPUT,
    OUTPUT,
    PREFILL,
    TOTAL_DECODE,
    TPOT,
    TTFT,
    first_divergence,
)
from tuibench.core.run.events import (
    FinishReason,
    PromptTokenised,
    StepEmitted,
    TrialAccepted,
    TrialFinished,
    TurnBegan,
    TurnEnded,
    UserArrived,
)
from tuibench.core.run.shape import Shape
from tuibench.core.run.trial_state import TrialState, fold_trial, trial_record
from tuibench.core.run.users import users_of
from tuibench.store.plausible import check_record
from tuibench.store.replay import trial_events

S = 1_000_000_000
SHAPE = Shape(prompt_tokens=10, max_new_tokens=3, n_threads=1, n_users=2)


def step(at_s, index, users, tokens):
    texts = tuple(f" {token}" for token in tokens)
    return StepEmitted(at_ns=round(at_s * S), index=index, users=users, token_ids=tokens, texts=texts)


TOGETHER = (
    step(1, 0, (0,), (10,)), step(3, 1, (1,), (20,)),
    step(4, 2, (0, 1), (11, 21)), step(5, 3, (0, 1), (12, 22)),
)  # fmt: skip
ONE_BY_ONE = tuple(
    step(at_s, index, (index // 3,), (10 + 10 * (index // 3) + index % 3,))
    for index, at_s in enumerate([1, 2, 3, 4, 5, 6])
)
STAGGERED = (
    step(1, 0, (0,), (10,)), UserArrived(at_ns=S, user=1), step(3, 1, (1,), (20,)),
    step(4, 2, (0, 1), (11, 21)), step(5, 3, (0, 1), (12, 22)),
)  # fmt: skip


def state_of(events):
    state = TrialState("m", 0, warmup=False, n_expected=6, shape=SHAPE)
    start = [TrialAccepted(at_ns=0), PromptTokenised(at_ns=0, n_prompt=10)]
    end = TrialFinished(at_ns=9 * S, finish_reason=FinishReason.LENGTH, prefill_ns=2 * S)
    for event in [*start, *events, end]:
        state = fold_trial(state, event)
    return state


def recorded(events, **changes):
    record = trial_record(
        state_of(events), fresh=False, observer_cpu_ns=None, validity=(), failure=None, finished=FINISHED
    )
    return msgspec.structs.replace(record, **changes)


def test_each_user_has_times_and_tokens_of_their_own():
    record = recorded(TOGETHER)
    check_record(record)
    first, second = users_of(record)
    assert (first.ttft_ns, first.step_ns, first.token_ids) == (S, (3 * S, S), (10, 11, 12))
    assert (second.ttft_ns, second.step_ns, second.token_ids) == (3 * S, (S, S), (20, 21, 22))
    assert record.step_ns == (2 * S, S, S)
    assert record.text == " 10 11 12 20 21 22"


def test_figures_are_means_over_users_and_totals_of_all():
    record = recorded(TOGETHER)
    assert TTFT.compute(record) == 2 * S
    assert TPOT.compute(record) == 1.5 * S  # (2 + 1) / 2
    assert DECODE.compute(record) == pytest.approx(1 / 1.5)
    assert TOTAL_DECODE.compute(record) == pytest.approx(4 / 2)
    assert OUTPUT.compute(record) == pytest.approx(6 / 5)
    assert PREFILL.compute(record) == pytest.approx(20 / 2)


def test_who_comes_later_waits_from_then_on():
    record = recorded(STAGGERED)
    check_record(record)
    assert [user.ttft_ns for user in users_of(record)] == [S, 2 * S]


def test_in_turns_the_last_waits_for_all_before():
    record = recorded(ONE_BY_ONE)
    check_record(record)
    assert (record.step_users, record.users_first) == ((0, 0, 0, 1, 1, 1), ())
    assert [user.ttft_ns for user in users_of(record)] == [S, 4 * S]
    assert [user.step_ns for user in users_of(record)] == [(S, S), (S, S)]
    assert TOTAL_DECODE.compute(record) == pytest.approx(1)


@pytest.mark.parametrize(
    ("ttft_s", "tpot_s", "n_good"), [(None, None, None), (2, None, 3), (3, 1, 3), (3, 2, 6), (0.5, None, 0)]
)
def test_goodput_counts_the_tokens_of_whom_the_limits_are_kept_for(ttft_s, tpot_s, n_good):
    limits = {"ttft_limit_ns": ttft_s and round(ttft_s * S), "tpot_limit_ns": tpot_s and tpot_s * S}
    found = GOODPUT.compute(recorded(TOGETHER, **limits))
    assert found == (None if n_good is None else pytest.approx(n_good / 5))


def test_what_a_trial_waited_for_its_turns_belongs_to_nobody():
    cut = 2
    late = [step(event.at_ns / S + 7, event.index, event.users, event.token_ids) for event in TOGETHER[cut:]]
    turns = [TurnEnded(at_ns=3 * S), TurnBegan(at_ns=10 * S)]
    assert recorded([*TOGETHER[:cut], *turns, *late]) == recorded(TOGETHER)


@pytest.mark.parametrize("events", [TOGETHER, STAGGERED, ONE_BY_ONE])
def test_a_replay_ends_in_the_same_record(events):
    record = recorded(events)
    state = TrialState("m", 0, warmup=False, n_expected=6, shape=SHAPE)
    told = list(trial_events(record))
    assert all(before.at_ns <= after.at_ns for before, after in pairwise(told))
    for event in told:
        state = fold_trial(state, event)
    again = trial_record(state, fresh=False, observer_cpu_ns=None, validity=(), failure=None, finished=FINISHED)
    assert again == record


def test_the_first_difference_is_a_users_own():
    other = recorded((*TOGETHER[:3], step(5, 3, (0, 1), (12, 99))))
    assert first_divergence(other, recorded(TOGETHER)) == 2
    assert first_divergence(recorded(ONE_BY_ONE), recorded(TOGETHER)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"users_n_gen": (3, 2)}, {"users_first": (0, 9)}, {"users_ttft_ns": (S,)}, {"step_users": (0, 1, 0, 1)},
        {"users_n_gen": (4, 2)}, {"users_first": (0,)}, {"step_ns": (1,)}, {"users_n_gen": (6, 0)}, {"ttft_ns": None},
    ],
    ids=str,
)  # fmt: skip
def test_users_that_do_not_fit_their_steps_are_refused(changes):
    with pytest.raises(msgspec.ValidationError):
        check_record(recorded(TOGETHER, **changes))
