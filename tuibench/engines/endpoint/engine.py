"""A server that runs already, as an engine that streams text."""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.spec import Method, Sampling, method_of_server
from tuibench.engines.base import (
    Piece,
    Progress,
    StreamError,
    StreamOutcome,
    StreamRefusedError,
    StreamRequest,
)
from tuibench.engines.endpoint.answer import Answer
from tuibench.engines.endpoint.event_stream import BrokenStreamError, events
from tuibench.engines.endpoint.prompt_cache import PromptCache, another_prompt, observe
from tuibench.engines.endpoint.server import READ_S, Server, StatusError

_PATHS = {"completions": "/completions", "chat": "/chat/completions"}
_DONE = "[DONE]"
_EVENTS_PER_TOKEN, _MORE_EVENTS = 8, 64
"""More than any server sends: one that goes on does not stop at the length that was asked for."""
_N_NAMED = 5
_OLLAMAS_TAG = ":latest"
"""What Ollama lists behind a name that it takes without it."""


@dataclass(slots=True)
class _Seen:
    """What was seen of the server's cache of prompts; one for all who ask it at once."""

    sought: bool = False
    cache: PromptCache | None = None


class EndpointEngine:
    """One server, asked fairly.

    It is asked for the length that is measured (`ignore_eos` for llama-server, `min_tokens` for vLLM and SGLang), for
    its count of tokens (`stream_options`), and to compute the whole prompt (`cache_prompt` for llama-server,
    `cache_salt` for vLLM). A server that refuses one of these by name is asked without it; whether one that tells
    nothing of its cache reads a prompt again is tried out.
    """

    method: Method

    def __init__(self, endpoint: Endpoint, read_s: float = READ_S) -> None:
        """Say which one; nobody is asked yet.

        Args:
            endpoint: The server.
            read_s: Longest wait for something new.
        """
        self.method = method_of_server(endpoint)
        self._endpoint = endpoint
        self._read_s = read_s
        self._server: Server | None = None
        self._left_out: set[str] = set()
        self._seen = _Seen()
        self._is_alone = True
        self._outcome = StreamOutcome()

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        del model_dir, progress
        return False

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> dict[str, str]:
        del model_dir, n_threads
        progress("asking the server", 0, None)
        self._server = Server(self._endpoint, self._read_s)
        served_by = self._check_model(self._server)
        answer = self._find_parameters()
        self._seen = _Seen(sought=answer.outcome().n_cached is not None)
        facts = {
            "address": self._endpoint.url,
            "server": served_by,
            "served model": self._server.shown(answer.served_model or ""),
            "build": self._server.shown(answer.build or ""),
            "API": self._endpoint.api,
            "not taken": ", ".join(sorted(self._left_out)),
        }
        return {name: text for name, text in facts.items() if text}

    @property
    def reads_text(self) -> bool:
        """Whether the text is read as it is; else the server's own template is put around the prompt."""
        return self._endpoint.api == "completions"

    @property
    def outcome(self) -> StreamOutcome:
        return self._outcome

    def stream(self, request: StreamRequest) -> Iterator[Piece]:
        server = self._loaded()
        if self._is_alone:
            self._watch_cache(request)
        return self._pieces(server, server.connect(), request, Answer(self._endpoint.api))

    def beside(self) -> EndpointEngine:
        """See `ConcurrentEngine`: the same server, and an outcome of its own."""
        self._loaded()
        other = copy(self)
        other._is_alone = False  # noqa: SLF001 - its own kind
        return other

    def close(self) -> None:
        self._server = None

    def _loaded(self) -> Server:
        if self._server is None:
            raise RuntimeError("an engine is loaded before it is asked")
        return self._server

    def _check_model(self, server: Server) -> str:
        """Check that the server has the model, if it tells; return by whom it says that it is served."""
        try:
            listed = server.get("/models")
        except StatusError as error:
            if error.status in {404, 405, 501}:  # not every server has the list
                return ""
            raise server.refusal(error) from None
        entries = listed.get("data") if isinstance(listed, dict) else None
        found = {
            each["id"]: each for each in entries or () if isinstance(each, dict) and isinstance(each.get("id"), str)
        }
        asked = self._endpoint.model
        named = asked if asked in found else f"{asked}{_OLLAMAS_TAG}"
        if found and named not in found:
            names = ", ".join([server.shown(name) for name in found][:_N_NAMED])
            more = f" and {len(found) - _N_NAMED} more" if len(found) > _N_NAMED else ""
            raise StreamRefusedError(
                f"{self._endpoint.url} has no model {server.shown(asked)!r}; it has {names}{more}: name "
                "one with --endpoint-model"
            )
        owner = found.get(named, {}).get("owned_by")
        return server.shown(owner) if isinstance(owner, str) else ""

    def _find_parameters(self) -> Answer:
        """Have a token generated, leaving out what the server refuses; return its answer."""
        server, request = self._loaded(), _probe("Hello")
        while True:
            answer = Answer(self._endpoint.api)
            try:
                for _ in self._pieces(server, server.connect(), request, answer, probe=True):
                    pass
            except StatusError as error:
                refused = {name for name in self._asked_besides(request) if name in error.body}
                if error.status not in {400, 422} or not refused:
                    raise server.refusal(error) from None
                self._left_out |= refused
            else:
                return answer

    def _watch_cache(self, request: StreamRequest) -> None:
        """See once what becomes of a prompt that comes again, and have another one displace it where that helps."""
        if not self._seen.sought:
            self._seen.sought = True
            with suppress(StreamError, StreamRefusedError):  # the trial will say what is wrong
                self._seen.cache = observe(request.text if self.reads_text else request.prompt, self._first_token_ns)
        if self._seen.cache is PromptCache.UNTIL_ANOTHER:
            self._first_token_ns(another_prompt())

    def _first_token_ns(self, text: str) -> int:
        """Have the server read a text; return the time until its first token."""
        server = self._loaded()
        connection = server.connect()
        asked_ns = perf_counter_ns()
        stamps = [each.at_ns for each in self._pieces(server, connection, _probe(text), Answer(self._endpoint.api))]
        return (stamps[0] if stamps else perf_counter_ns()) - asked_ns

    def _pieces(
        self,
        server: Server,
        connection: http.client.HTTPConnection,
        request: StreamRequest,
        answer: Answer,
        *,
        probe: bool = False,
    ) -> Iterator[Piece]:
        n_left = _EVENTS_PER_TOKEN * request.max_new_tokens + _MORE_EVENTS
        url = self._endpoint.url
        try:
            response = server.post(connection, _PATHS[self._endpoint.api], self._body(request))
            with server.explained():
                for at_ns, data in events(response, round(self._read_s * 1e9)):
                    if data.strip() == _DONE:
                        break
                    n_left -= 1
                    if n_left < 0:
                        raise StreamRefusedError(f"{url} does not end its stream at the length that was asked for")
                    text, n_tokens = answer.take(_event(server, url, data))
                    if text:
                        yield Piece(at_ns, text, n_tokens)
                else:
                    _check_end(url, answer)
        except BrokenStreamError as error:
            raise StreamError(f"{url} {error}: is it stuck?") from error
        except StatusError as error:
            if probe:
                raise
            raise server.refusal(error) from None
        finally:
            connection.close()
        outcome = answer.outcome()
        self._outcome = replace(outcome, prompt_kept=self._keeps_prompts() if outcome.n_cached is None else None)

    def _keeps_prompts(self) -> bool | None:
        """Return whether the prompt was kept, if it came before; nothing comes between what is asked at once."""
        cache = self._seen.cache
        kept = cache is PromptCache.KEPT or (cache is PromptCache.UNTIL_ANOTHER and not self._is_alone)
        return None if cache is None else kept

    def _body(self, request: StreamRequest) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "model": self._endpoint.model,
            "stream": True,
            "max_tokens": request.max_new_tokens,
            "temperature": request.sampling.temperature,
        }
        if self._endpoint.api == "chat":
            asked["messages"] = [{"role": "user", "content": request.prompt}]
        else:
            asked["prompt"] = request.text
        besides = self._asked_besides(request)
        return asked | {name: value for name, value in besides.items() if name not in self._left_out}

    def _asked_besides(self, request: StreamRequest) -> dict[str, Any]:
        """Return what only some servers take."""
        sampling = request.sampling
        found: dict[str, Any] = {
            "stream_options": {"include_usage": True},
            "cache_prompt": False,
            "cache_salt": secrets.token_hex(8),
        }
        if sampling.greedy:
            return found | {"ignore_eos": True, "min_tokens": request.max_new_tokens}
        found |= {"seed": sampling.seed, "top_p": sampling.top_p}
        return found | {"top_k": sampling.top_k} if sampling.top_k else found


def _probe(text: str) -> StreamRequest:
    return StreamRequest(prompt=text, text=text, max_new_tokens=1, sampling=Sampling())


def _check_end(url: str, answer: Answer) -> None:
    """Check a stream that ended without a word.

    Raises:
        StreamError: It was cut.
        StreamRefusedError: It was of something else, such as llama-server's own API.
    """
    if not answer.understood:
        raise StreamRefusedError(
            f"{url} streams something else than completions: the address ends in /v1 with most servers"
        )
    if not answer.finished:
        raise StreamError(
            f"{url} broke off in the middle of a stream: its own log says why (Ollama does this, and logs nothing, "
            "where a text repeats a token 31 times)"
        )


def _event(server: Server, url: str, data: str) -> dict[str, Any]:
    """Return the table that an event is.

    Raises:
        StreamError: It is none, or tells of an error.
    """
    try:
        found = json.loads(data)
    except ValueError:
        raise StreamError(f"{url} streams something else than JSON{server.said(data)}: correct the address") from None
    if not isinstance(found, dict):
        raise StreamError(f"{url} streams something else than completions{server.said(data)}: correct the address")
    error = found.get("error")
    if error:
        message = error.get("message") if isinstance(error, dict) else error
        raise StreamError(f"{url} failed in the middle of a stream{server.said(str(message))}")
    return found
