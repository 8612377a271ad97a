"""`tuibench chat`: a conversation with a model, line by line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from tuibench.cli import OK, SOME_FAILED
from tuibench.cli.one_method import say, what_to_load
from tuibench.cli.temporary_cache import writable_cache
from tuibench.core.format import counted, duration, printable, rate
from tuibench.core.run.spec import Sampling
from tuibench.serving.conversation import Conversation
from tuibench.serving.messages import Finished, Generate, Load, Piece
from tuibench.serving.model_process import ModelGoneError, ModelProcess, RefusedError

if TYPE_CHECKING:
    import argparse

_PROMPT = "> "
_COMMANDS = "/clear begins anew, /exit or Ctrl+D leaves, Ctrl+C ends an answer"


def run(options: argparse.Namespace) -> int:
    """Talk until the input ends: answers go to standard output, everything else to standard error."""
    with writable_cache():
        load, model = what_to_load(options)
        try:
            process = ModelProcess.start(load, say)
        except ModelGoneError as error:
            say(f"{load.method}: {error}")
            return SOME_FAILED
        sampling = Sampling(
            temperature=options.temperature, top_k=options.top_k, top_p=options.top_p, seed=options.seed
        )
        raw = options.raw or not process.ready.has_chat_template
        conversation = Conversation(sampling, options.max_new_tokens, system=options.system, raw=raw)
        how = "no chat template: it continues the text so far" if raw else "/help for commands"
        say(f"{model.name} under {load.method}, {counted(load.n_threads, 'thread')}; {how}")
        talk = Talk(load, process, conversation)
        try:
            for line in _lines():
                talk.take(line)
                if talk.over:
                    break
        finally:
            talk.end()
        return SOME_FAILED if talk.n_failed else OK


class Talk:
    """What is said, and a process that answers; if that dies, another.

    Attributes:
        over: Whether the user has had enough.
        n_failed: Answers that did not come.
    """

    def __init__(self, load: Load, process: ModelProcess, conversation: Conversation) -> None:
        """Begin with a process that is ready."""
        self._load = load
        self._process: ModelProcess | None = process
        self._conversation = conversation
        self.over = False
        self.n_failed = 0

    def take(self, line: str) -> None:
        """Do what a line says, or answer it."""
        match line.strip():
            case "":
                pass
            case "/exit" | "/quit":
                self.over = True
            case "/clear":
                self._conversation.clear()
                say("a new conversation")
            case "/help":
                say(_COMMANDS)
            case said if said.startswith("/") and " " not in said:
                say(f"unknown command {said}: {_COMMANDS}")
            case said:
                self._answer(said)

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()

    def _answer(self, said: str) -> None:
        order = self._conversation.ask(said, datetime.now().astimezone().date())
        try:
            if self._process is None:
                self._process = ModelProcess.start(self._load, say)
            with _interrupts(self._process):
                self._conversation.answered(order, _shown(self._process, order))
        except RefusedError as error:
            self.n_failed += 1
            remedy = "; /clear begins a new conversation" if error.fault == "length" else ""
            say(f"no answer: {error}{remedy}")
        except ModelGoneError as error:
            self.n_failed += 1
            say(f"\n{error}; the model is loaded again for the next answer")
            self.end()
            self._process = None


def _shown(process: ModelProcess, order: Generate) -> str:
    """Show an answer as it comes, then what it took; return its text."""
    texts: list[str] = []
    for message in process.generate(order):
        match message:
            case Piece(text):
                texts.append(text)
                print(printable(text), end="", flush=True)
            case Finished() as finished:
                print(flush=True)
                say(_figures(finished, process.ready.context_window))
            case _:
                pass
    return "".join(texts)


def _figures(finished: Finished, window: int | None) -> str:
    parts = [f"TTFT {duration(finished.ttft_ns)}", rate(finished.decode_tps), counted(finished.n_gen, "token")]
    if finished.n_cached:
        parts.append(f"{finished.n_cached} of {finished.n_prompt} prompt tokens kept in the cache")
    match finished.reason:
        case "cancelled":
            parts.append("ended by you")
        case "length":
            parts.append("cut at --max-new-tokens")
        case "window":
            parts.append(f"the window of {window} tokens is full: /clear begins anew" if window else "cut")
        case "stop":
            pass
    return f"[{' · '.join(parts)}]"


@contextmanager
def _interrupts(process: ModelProcess) -> Iterator[None]:
    """Have Ctrl+C end the answer, not the program."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: process.cancel())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _lines() -> Iterator[str]:
    """Yield what the user types, with a prompt and a history of lines in a terminal, or what is piped in."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]  # it is a stream of bytes
        yield from sys.stdin
        return
    import readline  # noqa: F401, PLC0415 - `input` edits lines with it; not every Python has it

    while True:
        try:
            yield input(_PROMPT)
        except KeyboardInterrupt:
            say("\nCtrl+D or /exit leaves")
        except EOFError:
            print()
            return
