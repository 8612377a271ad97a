"""The measured loop of several users of a method that hands out text: a stream each, each piece stamped as it arrives.

A thread waits for each answer, which costs nothing while nothing comes; what they hear is told in one order here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from time import perf_counter_ns

from tuibench.core.run.events import (
    Event,
    FinishReason,
    PromptTokenised,
    StepEmitted,
    TrialAccepted,
    TrialFinished,
    UserArrived,
)
from tuibench.core.run.spec import TrialRequest
from tuibench.engines.base import (
    ConcurrentEngine,
    Piece,
    StreamEngine,
    StreamError,
    StreamOutcome,
    StreamRefusedError,
)
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.worker.generate import no_collection
from tuibench.worker.prompt import Prompt
from tuibench.worker.stream import asked_of, check_length, counted, doubts_of


class _User:
    """One of them: what is asked, and what came so far."""

    def __init__(self, number: int, engine: StreamEngine, tokenizer: PromptTokenizer, request: TrialRequest) -> None:
        self.number, self.engine = number, engine
        self.prompt = Prompt(tokenizer, request, part=number)
        self._asked = asked_of(tokenizer, self.prompt, request)
        self.texts: list[str] = []
        self.done = False

    def connect(self) -> Iterator[Piece]:
        """Return what asks when it is first advanced."""
        return self.engine.stream(self._asked)


_Heard = tuple[_User, Piece | Exception | None]
"""A piece of a user's, why there are no more, or that it was the last."""


@no_collection()
def stream_for_users(
    engine: StreamEngine, tokenizer: PromptTokenizer, request: TrialRequest, emit: Callable[[Event], None]
) -> None:
    """Run one trial of several users and emit its events, in one turn.

    All ask at once, over a connection each, or one after the other while the first is answered.

    Raises:
        PromptError: A prompt has tokens that the model does not.
        ModelError: The chat template refuses one.
        StreamError: One of them has no result.
        StreamRefusedError: One never will have, or it is not of the length that was asked for.
    """
    if not isinstance(engine, ConcurrentEngine):
        raise StreamRefusedError("it answers one user at a time: give --users 1")
    engines = [engine, *(engine.beside() for _ in range(request.n_users - 1))]
    users = [_User(number, each, tokenizer, request) for number, each in enumerate(engines)]
    reading = users[0].prompt.reading
    loop = _Loop(users, emit, request)
    accepted_ns = perf_counter_ns()
    emit(TrialAccepted(at_ns=accepted_ns))
    sha256, doubt = (reading.text_sha256, reading.doubt) if engine.reads_text else (None, None)
    emit(PromptTokenised(at_ns=accepted_ns, n_prompt=None, text_sha256=sha256, doubt=doubt))
    loop.run()
    emit(_finished(users, tokenizer, request, perf_counter_ns()))


class _Loop:
    """Who has asked, and what they hear."""

    def __init__(self, users: Sequence[_User], emit: Callable[[Event], None], request: TrialRequest) -> None:
        """Connect those who ask at once."""
        self._users, self._emit, self._n_asked = users, emit, request.max_new_tokens
        n_first = 1 if request.staggered else len(users)
        self._connected = [(user, user.connect()) for user in users[:n_first]]
        self._to_come = deque(users[n_first:])
        self._heard: SimpleQueue[_Heard] = SimpleQueue()
        self._n_open = 0
        self._index = self._latest_ns = 0

    def run(self) -> None:
        """Ask, and tell what comes, up to the last one's end."""
        for user, pieces in self._connected:
            self._listen(user, pieces)
        while self._n_open:
            user, heard = self._heard.get()
            if isinstance(heard, Exception):
                raise heard
            if heard is None:
                self._n_open -= 1
                user.done = True
            else:
                self._tell(user, heard)
            self._welcome()

    def _listen(self, user: _User, pieces: Iterator[Piece]) -> None:
        self._n_open += 1
        # One that is still open when another has failed ends with the process.
        threading.Thread(target=self._hear, args=(user, pieces), name=f"user-{user.number}", daemon=True).start()

    def _hear(self, user: _User, pieces: Iterator[Piece]) -> None:
        try:
            for piece in pieces:
                self._heard.put((user, piece))
        except Exception as error:  # noqa: BLE001 - raised where it is heard
            self._heard.put((user, error))
        else:
            self._heard.put((user, None))

    def _tell(self, user: _User, piece: Piece) -> None:
        # Of two threads, the one that stamped later may be heard first: by microseconds.
        self._latest_ns = max(self._latest_ns, piece.at_ns)
        user.texts.append(piece.text)
        self._emit(
            StepEmitted(
                at_ns=self._latest_ns, index=self._index, users=(user.number,), token_ids=(), texts=(piece.text,)
            )
        )
        self._index += 1

    def _welcome(self) -> None:
        """Let those ask whose time it is: see `users`; a piece is taken for a token."""
        first, n_users = self._users[0], len(self._users)
        while self._to_come and (first.done or len(first.texts) * n_users >= self._to_come[0].number * self._n_asked):
            user = self._to_come.popleft()
            pieces = user.connect()
            self._emit(UserArrived(at_ns=perf_counter_ns(), user=user.number))
            self._listen(user, pieces)


def _finished(
    users: Sequence[_User], tokenizer: PromptTokenizer, request: TrialRequest, ended_ns: int
) -> TrialFinished:
    """Check what each was told, and return what all were."""
    outcomes = [user.engine.outcome for user in users]
    for user, outcome in zip(users, outcomes, strict=True):
        if request.sampling.greedy:
            check_length(outcome, request.max_new_tokens)
        if not user.texts:
            raise StreamError("one of its users was told nothing: its own log may say why")
    n_gen = [
        counted(tokenizer, "".join(user.texts)) if outcome.n_gen is None else outcome.n_gen
        for user, outcome in zip(users, outcomes, strict=True)
    ]
    n_pieces, n_prompt = sum(len(user.texts) for user in users), sum(len(user.prompt.ids) for user in users)
    together = StreamOutcome(
        n_prompt=_sum(outcome.n_prompt for outcome in outcomes),
        n_gen=_sum(outcome.n_gen for outcome in outcomes),
        n_cached=_sum(outcome.n_cached for outcome in outcomes),
        prompt_kept=_kept(outcomes),
        stopped=any(outcome.stopped for outcome in outcomes),
        reasoned=any(outcome.reasoned for outcome in outcomes),
    )
    return TrialFinished(
        at_ns=ended_ns,
        finish_reason=FinishReason.EOS if together.stopped else FinishReason.LENGTH,
        n_prompt=outcomes[0].n_prompt,
        n_gen=sum(n_gen),
        users_n_gen=tuple(n_gen),
        n_cached=together.n_cached,
        prompt_kept=bool(together.prompt_kept),
        doubts=tuple(doubts_of(together, n_pieces=n_pieces, n_gen=sum(n_gen), n_prompt=n_prompt)),
    )


def _kept(outcomes: Sequence[StreamOutcome]) -> bool | None:
    """Return whether a prompt was kept; None where that cannot be seen of all."""
    kept = {outcome.prompt_kept for outcome in outcomes}
    return True if True in kept else None if None in kept else False


def _sum(counts: Iterator[int | None]) -> int | None:
    """Return the sum; None where one is not told."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total
