"""One answer: from an order to pieces of text and what they took."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.serving.held_text import HeldText
from tuibench.serving.messages import Finished, Generate, Message, Piece, Reason, Started
from tuibench.serving.stop_text import StopText
from tuibench.worker.generate import room
from tuibench.worker.sampling import Sampler

_UNLIMITED = 4096
"""Tokens of an answer that nothing limits, neither who asks nor the model."""


def generate(
    held: HeldText,
    tokenizer: PromptTokenizer,
    window: int | None,
    order: Generate,
    cancelled: Callable[[], bool],
    send: Callable[[Message], None],
) -> None:
    """Answer, and tell the parent.

    Args:
        held: The model.
        tokenizer: Its tokenizer.
        window: Most tokens, prompt and answer together; None where there is no limit.
        order: What is asked for.
        cancelled: Looked at after each token.
        send: Takes what is to be told.

    Raises:
        PromptError: The prompt is empty, has tokens that the model does not, or leaves no room in the window.
        ModelError: The chat template refuses it, or there is none.
    """
    start_ns = perf_counter_ns()
    prompt_ids = _prompt_ids(tokenizer, order)
    tokenizer.check_embedded(prompt_ids)
    n_most = room(len(prompt_ids), window, order.max_new_tokens or window or _UNLIMITED)
    eos_ids = frozenset() if order.ignore_eos else tokenizer.eos_ids
    sampler = Sampler(order.sampling, banned=tokenizer.eos_ids if order.ignore_eos else ())
    detokenizer, answer = tokenizer.detokenizer(), StopText(order.stop)
    send(Started(len(prompt_ids)))
    logits = held.read(prompt_ids, n_most, reuse=order.reuse)
    reason: Reason = "length" if n_most == order.max_new_tokens else "window"
    n_gen, first_ns, last_ns = 0, None, start_ns
    while not cancelled():
        token_id = sampler.pick(logits)
        if token_id in eos_ids:
            reason = "stop"
            break
        text = answer.push(detokenizer.push(token_id))
        n_gen, last_ns = n_gen + 1, perf_counter_ns()
        first_ns = last_ns if first_ns is None else first_ns
        if text:
            send(Piece(text))
        if answer.found:
            reason = "stop"
            break
        if n_gen == n_most:
            break
        logits = held.decode(token_id)
    else:
        reason = "cancelled"
    if tail := answer.push(detokenizer.finish()) + answer.finish():
        send(Piece(tail))
    send(
        Finished(
            reason=reason,
            n_prompt=len(prompt_ids),
            n_cached=held.n_reused,
            n_gen=n_gen,
            ttft_ns=None if first_ns is None else first_ns - start_ns,
            decode_ns=0 if first_ns is None else last_ns - first_ns,
        )
    )


def _prompt_ids(tokenizer: PromptTokenizer, order: Generate) -> list[int]:
    if order.token_ids is not None:
        return list(order.token_ids)
    if order.messages is not None:
        return tokenizer.encode_chat([(said.role, said.content) for said in order.messages], order.today)
    return tokenizer.encode(order.text or "", raw=True)
