"""Several users at once in one trial: who had which token when.

A step of the trial ends with a token of one user, who has just been read or runs alone, or with one of each user who
takes part. All steps have one list of times; what each user had follows from few numbers beside it. Of a method that
hands out text, a step ends with a piece of it, which is one user's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from tuibench.core.run.events import StepEmitted
from tuibench.core.run.record import TrialRecord


class UserTrial(NamedTuple):
    """What one user had."""

    ttft_ns: int
    """From this user's arrival on: waiting for others to be read is part of it."""
    step_ns: tuple[int, ...]
    """The gaps between this user's tokens, reading others included."""
    token_ids: tuple[int, ...]
    """Empty for a method that hands out text."""
    n_gen: int
    """Tokens."""


def users_of(record: TrialRecord) -> tuple[UserTrial, ...]:
    """Return what each user of a trial had; of an ordinary trial there is one, who had all of it."""
    if not record.users_ttft_ns:
        one = (record.step_ns, record.token_ids, record.n_gen)
        return (UserTrial(record.ttft_ns, *one),) if record.ttft_ns is not None else ()
    at_ns = tuple(accumulate(record.step_ns, initial=0))
    found = []
    each = zip(record.users_ttft_ns, token_ids_of_users(record), tokens_of_users(record), strict=True)
    for user, (ttft_ns, token_ids, n_gen) in enumerate(each):
        times = [at_ns[step] for step in steps_of(record, user)]
        found.append(UserTrial(ttft_ns, tuple(after - before for before, after in pairwise(times)), token_ids, n_gen))
    return tuple(found)


def tokens_of_users(record: TrialRecord) -> tuple[int, ...]:
    """Return how many tokens each of several users had."""
    return record.users_n_told or record.users_n_gen


def token_ids_of_users(record: TrialRecord) -> list[tuple[int, ...]]:
    """Return each user's tokens, which are known where no time is; of an ordinary trial, all of them."""
    ends = list(accumulate(record.users_n_gen or (len(record.token_ids),)))
    return [record.token_ids[start:end] for start, end in pairwise([0, *ends])]


def steps_of(record: TrialRecord, user: int) -> list[int]:
    """Return the numbers of the steps that gave a user a token."""
    n_steps, n_gen = len(record.step_ns) + 1, record.users_n_gen[user]
    if record.step_users:
        return [step for step, whose in enumerate(record.step_users) if whose == user]
    firsts = frozenset(record.users_first)
    first = record.users_first[user]
    shared = (step for step in range(first + 1, n_steps) if step not in firsts)
    return [first, *(step for step, _ in zip(shared, range(n_gen - 1), strict=False))]


def shared_decoding(record: TrialRecord) -> tuple[int, int]:
    """Return the tokens of all users that came after their first ones, and the time of the steps that brought them."""
    firsts = {steps_of(record, user)[0] for user in range(len(record.users_n_gen))}
    decode_ns = sum(gap for step, gap in enumerate(record.step_ns, 1) if step not in firsts)
    return sum(tokens_of_users(record)) - len(record.users_n_gen), decode_ns


def recorded_users(
    steps: Sequence[StepEmitted], at_ns: Sequence[int], arrived_ns: Sequence[int], requested_ns: int
) -> dict[str, object]:
    """Return the fields of a record that tell of its users.

    Args:
        steps: In their order.
        at_ns: Of each, less what the trial waited for its turns.
        arrived_ns: Of each user who came later than the trial began, from the second one on; empty where all came then.
        requested_ns: When it began.
    """
    n_users = 1 + max((user for step in steps for user in step.users), default=-1)
    ids: list[list[int]] = [[] for _ in range(n_users)]
    texts: list[list[str]] = [[] for _ in range(n_users)]
    first: dict[int, int] = {}
    for number, step in enumerate(steps):
        for user, text in zip(step.users, step.texts, strict=True):
            first.setdefault(user, number)
            texts[user].append(text)
        for user, token_id in zip(step.users, step.token_ids, strict=bool(step.token_ids)):
            ids[user].append(token_id)
    arrivals = (requested_ns, *(arrived_ns or (requested_ns,) * (n_users - 1)))
    alone = n_users > 1 and all(len(step.users) == 1 for step in steps)
    return {
        "users_ttft_ns": tuple(at_ns[first[user]] - arrivals[user] for user in range(n_users)),
        "users_n_gen": tuple(map(len, texts)),
        "users_first": () if alone else tuple(first[user] for user in range(n_users)),
        "step_users": tuple(step.users[0] for step in steps) if alone else (),
        "token_ids": tuple(token_id for each in ids for token_id in each),
        "piece_chars": tuple(len(text) for each in texts for text in each),
        "text": "".join(text for each in texts for text in each),
    }


def recorded_steps(record: TrialRecord) -> list[StepEmitted]:
    """Return the steps of a trial as they were seen; times count from the acceptance."""
    pieces, start = record.pieces(), 0
    parts: list[list[tuple[int, tuple[int, ...], str]]] = [[] for _ in range(len(record.step_ns) + 1)]
    for user, n_gen in enumerate(record.users_n_gen):
        for place, step in enumerate(steps_of(record, user), start):
            parts[step].append((user, record.token_ids[place : place + 1], pieces[place]))
        start += n_gen
    times = accumulate(record.step_ns, initial=record.ttft_ns or 0)
    return [
        StepEmitted(
            at_ns=at_ns,
            index=index,
            users=tuple(user for user, _, _ in part),
            token_ids=tuple(token_id for _, token_ids, _ in part for token_id in token_ids),
            texts=tuple(text for _, _, text in part),
        )
        for index, (at_ns, part) in enumerate(zip(times, parts, strict=True))
    ]


def arrivals_ns(record: TrialRecord) -> list[int]:
    """Return when each user came, counted from the trial's acceptance."""
    at_ns = tuple(accumulate(record.step_ns, initial=record.ttft_ns or 0))
    return [at_ns[steps_of(record, user)[0]] - ttft for user, ttft in enumerate(record.users_ttft_ns)]
