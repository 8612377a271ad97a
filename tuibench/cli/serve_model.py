"""`tuibench serve-model`: a method behind an OpenAI-compatible API on this machine."""

from __future__ import annotations

import os
import secrets
import threading
from typing import TYPE_CHECKING

from tuibench.cli import OK, SOME_FAILED
from tuibench.cli.arguments import UsageError
from tuibench.cli.ended_in_order import ended_in_order
from tuibench.cli.one_method import say, what_to_load
from tuibench.cli.temporary_cache import writable_cache
from tuibench.core.format import duration, rate
from tuibench.serving.http.answer_queue import AnswerQueue
from tuibench.serving.http.server import HOST, ApiServer
from tuibench.serving.messages import Finished
from tuibench.serving.model_process import ModelGoneError, ModelProcess

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl+C; print address and key on standard output, everything else on standard error."""
    key = _key(options.key_env)
    with writable_cache():
        load, model = what_to_load(options)
        answers = AnswerQueue(lambda: ModelProcess.start(load, say))
        try:
            server = ApiServer(options.port, key, model.name, answers, _say_what_it_took)
        except OSError as error:
            why = error.strerror or error
            raise UsageError(f"port {options.port}: {why}; choose another with --port, or 0 for any") from error
        with server:

            def tell(process: ModelProcess) -> None:
                del process
                print(f"OPENAI_BASE_URL=http://{HOST}:{server.server_port}/v1")
                if options.key_env is None:
                    print(f"OPENAI_API_KEY={key}")
                print(flush=True)
                say(f"the model is called {model.name}, answered by {load.method}; Ctrl+C ends the server")
                threading.Thread(target=server.serve_forever, name="http", daemon=True).start()

            try:
                with ended_in_order(answers.end):
                    answers.run(tell)  # in this thread, with which the kernel would end the process with the model
            except ModelGoneError as error:
                say(f"{load.method}: {error}")
                return SOME_FAILED
            except KeyboardInterrupt:
                say("ended")
    return OK


def _key(variable: str | None) -> str:
    if variable is None:
        return secrets.token_urlsafe(24)
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"the environment variable {variable} is not set: put a key into it, or leave out --key-env")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            f"the key in the environment variable {variable} has blanks or characters outside ASCII: take another"
        )
    return key


def _say_what_it_took(path: str, finished: Finished) -> None:
    tokens = f"{finished.n_prompt} + {finished.n_gen} tokens"
    say(f"{path}: {tokens}, TTFT {duration(finished.ttft_ns)}, {rate(finished.decode_tps)}")
