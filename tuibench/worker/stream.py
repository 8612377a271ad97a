"""The measured loop of a method that hands out text: one prompt in, pieces out, each stamped where it arrives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

from tuibench.core.run.events import (
    EngineReady,
    Event,
    FinishReason,
    Phase,
    PhaseProgressed,
    PhaseStarted,
    PieceEmitted,
    PromptTokenised,
    TrialAccepted,
    TrialFinished,
)
from tuibench.core.run.spec import LoadRequest, TrialRequest
from tuibench.engines.base import StreamEngine, StreamOutcome, StreamRefusedError, StreamRequest
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.worker.generate import no_collection
from tuibench.worker.prompt import Prompt


def load_stream(engine: StreamEngine, load: LoadRequest, emit: Callable[[Event], None]) -> None:
    """See that the engine can be asked, and report it as ready: neither a load time nor a size is known of it.

    Raises:
        StreamRefusedError: It cannot be.
    """

    def progress(label: str, done: int, total: int | None) -> None:
        emit(PhaseProgressed(at_ns=perf_counter_ns(), label=label, done=done, total=total))

    model_dir = Path(load.model_dir)
    emit(PhaseStarted(at_ns=perf_counter_ns(), phase=Phase.PREPARE))
    engine.prepare(model_dir, progress)
    emit(PhaseStarted(at_ns=perf_counter_ns(), phase=Phase.LOAD))
    facts = engine.load(model_dir, load.n_threads, progress)
    emit(EngineReady(at_ns=perf_counter_ns(), facts=facts))


@no_collection()
def stream(
    engine: StreamEngine, tokenizer: PromptTokenizer, request: TrialRequest, emit: Callable[[Event], None]
) -> None:
    """Run one trial and emit its events. It takes its whole trial in one turn, whatever the request says of turns.

    Tokens are those that the server counted. Where it does not, this model's tokenizer counts those of the whole text,
    and the trial says so.

    Raises:
        PromptError: The prompt has tokens that the model does not.
        ModelError: The chat template refuses it.
        StreamError: There is no result.
        StreamRefusedError: There never will be one, or it is not of the length that was asked for.
    """
    prompt = Prompt(tokenizer, request)
    reading = prompt.reading
    n_prompt = len(prompt.ids)
    pieces = engine.stream(asked_of(tokenizer, prompt, request))
    accepted_ns = perf_counter_ns()
    emit(TrialAccepted(at_ns=accepted_ns))
    sha256, doubt = (reading.text_sha256, reading.doubt) if engine.reads_text else (None, None)
    emit(PromptTokenised(at_ns=accepted_ns, n_prompt=None, text_sha256=sha256, doubt=doubt))
    texts: list[str] = []
    for piece in pieces:
        emit(PieceEmitted(at_ns=piece.at_ns, index=len(texts), text=piece.text, n_tokens=piece.n_tokens))
        texts.append(piece.text)
    ended_ns = perf_counter_ns()
    outcome = engine.outcome
    n_gen = counted(tokenizer, "".join(texts)) if outcome.n_gen is None else outcome.n_gen
    if request.sampling.greedy:
        check_length(outcome, request.max_new_tokens)
    emit(
        TrialFinished(
            at_ns=ended_ns,
            finish_reason=FinishReason.EOS if outcome.stopped else FinishReason.LENGTH,
            n_prompt=outcome.n_prompt,
            n_gen=n_gen,
            n_cached=outcome.n_cached,
            prompt_kept=bool(outcome.prompt_kept),
            server_timings=outcome.timings,
            doubts=tuple(doubts_of(outcome, n_pieces=len(texts), n_gen=n_gen, n_prompt=n_prompt)),
        )
    )


def asked_of(tokenizer: PromptTokenizer, prompt: Prompt, request: TrialRequest) -> StreamRequest:
    """Return a prompt as engines are asked that hand out text."""
    return StreamRequest(
        prompt=prompt.text,
        text=tokenizer.rendered(prompt.text, raw=prompt.raw, today=request.prompt_date),
        max_new_tokens=request.max_new_tokens,
        sampling=request.sampling,
    )


def counted(tokenizer: PromptTokenizer, text: str) -> int:
    """Return the tokens of a text, without those that the tokenizer puts around any."""
    return len(tokenizer.encode(text, raw=True)) - len(tokenizer.encode("", raw=True))


def check_length(outcome: StreamOutcome, n_asked: int) -> None:
    """Check that an answer is as long as was asked for.

    Raises:
        StreamRefusedError: It is not.
    """
    if outcome.n_gen is not None and outcome.n_gen != n_asked:
        raise StreamRefusedError(
            f"it generated {outcome.n_gen} tokens where {n_asked} were asked for, which is other work than the other "
            "methods do: give the server a longer context, use one that takes ignore_eos or min_tokens, or ask for "
            "fewer with --max-new-tokens"
        )


def doubts_of(outcome: StreamOutcome, *, n_pieces: int, n_gen: int, n_prompt: int) -> list[str]:
    """Return what to know of an answer, or of several with their numbers added up, before its figures are believed."""
    found = []
    if outcome.n_cached:
        of_all = f" of {outcome.n_prompt}" if outcome.n_prompt is not None else ""
        found.append(
            f"{outcome.n_cached}{of_all} tokens of the prompt came from the server's cache: its TTFT is of less work; "
            "switch off its prefix cache"
        )
    if outcome.n_gen is None:
        found.append(f"the server does not count its tokens: this model's tokenizer makes {n_gen} of the whole text")
    if n_pieces != n_gen:
        found.append(f"{n_gen} tokens came in {n_pieces} pieces: gaps are between pieces, not between tokens")
    if outcome.n_prompt is not None and outcome.n_prompt != n_prompt:
        found.append(
            f"the server read {outcome.n_prompt} tokens where this model's prompt has {n_prompt}: it cut it, put "
            "its own template around it, or has another model"
        )
    if outcome.reasoned:
        found.append("part of its text is what the model thought before it answered")
    if outcome.prompt_kept:
        found.append(
            "the server keeps prompts and does not tell, as one sent twice showed: its TTFT may be of less work; "
            "switch off its prompt cache"
        )
    elif outcome.n_cached is None and outcome.prompt_kept is None:
        found.append("the server does not tell whether it had the prompt in its cache")
    return found
