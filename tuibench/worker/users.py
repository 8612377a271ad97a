"""The measured loop of several users: each asks once, all at once or one by one, and each token is stamped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING

from tuibench.core.run.events import (
    Event,
    FinishReason,
    PromptTokenised,
    StepEmitted,
    TrialAccepted,
    UserArrived,
)
from tuibench.core.run.spec import TrialRequest
from tuibench.engines.base import BatchEngine, Engine
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.worker.generate import no_collection, room
from tuibench.worker.memory import peak_rss_bytes
from tuibench.worker.prompt import Prompt
from tuibench.worker.sampling import Sampler
from tuibench.worker.self_picking import tell_sampling
from tuibench.worker.stall_detector import StallDetector
from tuibench.worker.timed_part import TimedPart
from tuibench.worker.turns import Turns

if TYPE_CHECKING:
    from tuibench.engines.base import Logits


class _User:
    """One sequence: what is asked, and what came so far."""

    def __init__(self, number: int, tokenizer: PromptTokenizer, window: int | None, request: TrialRequest) -> None:
        self.number = number
        self.prompt = Prompt(tokenizer, request, part=number)
        self.n_allowed = room(len(self.prompt.ids), window, request.max_new_tokens, request.depth_tokens)
        self._sampler = Sampler(request.sampling, banned=tokenizer.eos_ids)
        self._detokenizer = tokenizer.detokenizer()
        self.n_gen = 0
        self.latest = 0
        self.done = False
        self.sampling_ns = 0

    @property
    def max_length(self) -> int:
        """Tokens that the sequence may come to have."""
        return len(self.prompt.before) + len(self.prompt.ids) + self.n_allowed

    def take(self, logits: Logits) -> str:
        """Pick the next token and return its text."""
        start_ns = perf_counter_ns()
        token_id = self._sampler.pick(logits)
        self.sampling_ns += perf_counter_ns() - start_ns
        self.latest, self.n_gen = token_id, self.n_gen + 1
        self.done = self.n_gen == self.n_allowed
        text = self._detokenizer.push(token_id)
        return text + self._detokenizer.finish() if self.done else text


class _Shared:
    """All sequences in one step, each with a cache of its own."""

    def __init__(self, engine: BatchEngine, users: Sequence[_User]) -> None:
        self._engine = engine
        self.n_at_once = len(users)
        engine.begin_batch(len(users), max(user.max_length for user in users))
        for user in users:
            if user.prompt.before:
                engine.read_sequence(user.number, user.prompt.before)

    def read(self, user: _User) -> Logits:
        return self._engine.read_sequence(user.number, user.prompt.tokenised())

    def step(self, users: Sequence[_User]) -> Sequence[Logits]:
        logits = self._engine.decode_batch([user.number for user in users], [user.latest for user in users])
        return list(logits)


class _OneByOne:
    """One sequence after the other: what an engine with one cache can do without computing anything twice."""

    n_at_once = 1

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, user: _User) -> Logits:
        return self._engine.prefill(user.prompt.tokenised(), user.max_length)

    def step(self, users: Sequence[_User]) -> Sequence[Logits]:
        return [self._engine.decode(user.latest) for user in users]


@no_collection()
def generate_for_users(
    engine: Engine,
    tokenizer: PromptTokenizer,
    window: int | None,
    request: TrialRequest,
    emit: Callable[[Event], None],
    standstill: StallDetector,
    turns: Turns,
    *,
    shared: bool,
) -> None:
    """Run one trial of several users and emit its events, turn by turn if the request says so.

    Whoever has arrived is read before anybody's next step, if there is room. Each gets as many tokens as were asked
    for, EOS or not, then leaves, and the others go on.

    Args:
        engine: The loaded one.
        tokenizer: The model's.
        window: The model's.
        request: Its `n_users` says how many.
        emit: Where events go.
        standstill: Looked at before and after.
        turns: Those of this worker.
        shared: Whether the engine's sequences share steps; only then may there be a depth.

    Raises:
        PromptError: A prompt has tokens that the model does not, or leaves no room in the window.
        UnsupportedModelError: The method cannot pick tokens so.
    """
    tell_sampling(engine, request.sampling, tokenizer.eos_ids)
    users = [_User(number, tokenizer, window, request) for number in range(request.n_users)]
    service = _Shared(engine, users) if shared and isinstance(engine, BatchEngine) else _OneByOne(engine)
    reading = users[0].prompt.reading
    timed = TimedPart(emit, standstill, turns)
    accepted_ns = perf_counter_ns()
    emit(TrialAccepted(at_ns=accepted_ns))
    emit(
        PromptTokenised(
            at_ns=accepted_ns,
            n_prompt=len(users[0].prompt.ids),
            text_sha256=reading.text_sha256,
            doubt=reading.doubt,
        )
    )
    loop = _Loop(service, users, emit, staggered=request.staggered)
    while loop.step():
        turns.after(loop.n_steps, request.turn_tokens)
    timed.end()
    emit(
        timed.finished(
            FinishReason.LENGTH if users[0].n_allowed == request.max_new_tokens else FinishReason.WINDOW,
            prefill_ns=loop.prefill_ns,
            prefill_peak_bytes=loop.prefill_peak_bytes,
            sampling_ns=sum(user.sampling_ns for user in users),
        )
    )


class _Loop:
    """Who is read, who takes part in the next step, who has left."""

    def __init__(
        self, service: _Shared | _OneByOne, users: Sequence[_User], emit: Callable[[Event], None], *, staggered: bool
    ) -> None:
        self._service, self._users, self._emit = service, users, emit
        self._here = deque(users[:1] if staggered else users)
        """Arrived, and not read yet."""
        self._to_come = deque(users[1:] if staggered else ())
        self._active: list[_User] = []
        self.n_steps = 0
        self.prefill_ns = 0
        self.prefill_peak_bytes = 0

    def step(self) -> bool:
        """Read somebody, or take a step of all who are active; return whether there is more to do."""
        if self._here and len(self._active) < self._service.n_at_once:
            user = self._here.popleft()
            start_ns = perf_counter_ns()
            logits = self._service.read(user)
            self.prefill_ns += perf_counter_ns() - start_ns
            self.prefill_peak_bytes = peak_rss_bytes()
            self._take([user], [logits])
            self._active.append(user)
            self._active.sort(key=lambda each: each.number)
        else:
            self._take(self._active, self._service.step(self._active))
        self._active = [user for user in self._active if not user.done]
        self._welcome()
        return bool(self._active or self._here or self._to_come)

    def _take(self, users: Sequence[_User], logits: Sequence[Logits]) -> None:
        texts = [user.take(row) for user, row in zip(users, logits, strict=True)]
        self._emit(
            StepEmitted(
                at_ns=perf_counter_ns(),
                index=self.n_steps,
                users=tuple(user.number for user in users),
                token_ids=tuple(user.latest for user in users),
                texts=tuple(texts),
            )
        )
        self.n_steps += 1

    def _welcome(self) -> None:
        """Let those come whose time it is: the first one's tokens are the clock, which no method can be late for."""
        first, n_users = self._users[0], len(self._users)
        while self._to_come and (first.done or first.n_gen * n_users >= self._to_come[0].number * first.n_allowed):
            user = self._to_come.popleft()
            self._here.append(user)
            self._emit(UserArrived(at_ns=perf_counter_ns(), user=user.number))
