"""The measured loop: one prompt in, tokens out, each stamped where it is made."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns

from tuibench.core.run.events import (
    Event,
    FinishReason,
    GuessCounts,
    PromptTokenised,
    TokenEmitted,
    TrialAccepted,
)
from tuibench.core.run.spec import TrialRequest
from tuibench.engines.base import Engine, GuessingEngine
from tuibench.models.text.tokenizer import PromptError, PromptTokenizer, TooLongError
from tuibench.worker.memory import peak_rss_bytes
from tuibench.worker.prompt import Prompt, PromptReader
from tuibench.worker.sampling import Sampler
from tuibench.worker.self_picking import tell_sampling
from tuibench.worker.stall_detector import StallDetector
from tuibench.worker.timed_part import TimedPart
from tuibench.worker.turns import Turns


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the collector away: in the middle of a trial it would show up as a slow token."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@no_collection()
def generate(
    reader: PromptReader,
    tokenizer: PromptTokenizer,
    window: int | None,
    request: TrialRequest,
    emit: Callable[[Event], None],
    standstill: StallDetector,
    turns: Turns,
) -> None:
    """Run one trial and emit its events, turn by turn if the request says so.

    What stands before the prompt is read first, outside of all times.

    Greedy decoding runs to `max_new_tokens` with EOS banned, so that every method does the same work; with a
    temperature, EOS ends it. A generation that reaches the model's window ends there, as `FinishReason.WINDOW`.

    Raises:
        PromptError: The prompt is empty, has tokens that the model does not, or leaves no room in the window.
        ModelError: The chat template refuses it.
        UnsupportedModelError: The method cannot pick tokens so, or read a prompt behind others.
    """
    engine, prompt = reader.engine, Prompt(tokenizer, request)
    reading = prompt.reading
    n_allowed = room(len(prompt.ids), window, request.max_new_tokens, request.depth_tokens)
    eos_ids = tokenizer.eos_ids
    forced = request.sampling.greedy
    tell_sampling(engine, request.sampling, eos_ids if forced else ())
    reader.fill(prompt, n_allowed, request.spare_tokens)
    timed = TimedPart(emit, standstill, turns)
    emit(TrialAccepted(at_ns=perf_counter_ns()))
    prompt_ids = prompt.tokenised()
    sampler = Sampler(request.sampling, banned=eos_ids if forced else ())
    detokenizer = tokenizer.detokenizer()

    prefill_start_ns = perf_counter_ns()
    emit(
        PromptTokenised(
            at_ns=prefill_start_ns, n_prompt=len(prompt_ids), text_sha256=reading.text_sha256, doubt=reading.doubt
        )
    )
    logits = reader.read(prompt, n_allowed)
    prefill_ns = perf_counter_ns() - prefill_start_ns
    prefill_peak_bytes = peak_rss_bytes()

    reason = FinishReason.LENGTH if n_allowed == request.max_new_tokens else FinishReason.WINDOW
    sampling_ns = 0
    for index in range(n_allowed):
        sampling_start_ns = perf_counter_ns()
        token_id = sampler.pick(logits)
        sampling_ns += perf_counter_ns() - sampling_start_ns
        if not forced and token_id in eos_ids:
            reason = FinishReason.EOS
            break
        text = detokenizer.push(token_id)
        emit(TokenEmitted(at_ns=perf_counter_ns(), index=index, token_id=token_id, text=text))
        if index + 1 < n_allowed:
            turns.after(index + 1, request.turn_tokens)
            logits = engine.decode(token_id)
    timed.end()
    emit(
        timed.finished(
            reason,
            prefill_ns=prefill_ns,
            prefill_peak_bytes=prefill_peak_bytes,
            sampling_ns=sampling_ns,
            text_tail=detokenizer.finish(),
            guesses=_guesses(engine),
        )
    )


def _guesses(engine: Engine) -> GuessCounts | None:
    if not isinstance(engine, GuessingEngine):
        return None
    found = engine.guesses
    return GuessCounts(n_steps=found.n_steps, n_guessed=found.n_guessed, n_accepted=found.n_accepted)


def room(n_prompt: int, window: int | None, max_new_tokens: int, depth: int = 0) -> int:
    """Return how many tokens may be generated, one at least."""
    if n_prompt == 0:
        raise PromptError("the prompt has no tokens; type some text")
    if window is None:
        return max_new_tokens
    if depth + n_prompt >= window:
        behind = f" behind {depth} others" if depth else ""
        raise TooLongError(
            f"the prompt has {n_prompt} tokens{behind} and the model's window only {window}; shorten the prompt"
        )
    return min(max_new_tokens, window - depth - n_prompt)
