"""The server: who may ask, what is at which path, and a client that hangs up."""

from __future__ import annotations

import contextlib
import hmac
import json
import queue
import select
import socket
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import tuibench
from tuibench.serving.http.answer_queue import Answer, AnswerQueue, Event
from tuibench.serving.http.answers import Wording
from tuibench.serving.http.requests import Api, Asked, RequestError, asked
from tuibench.serving.messages import Finished, Piece, Started
from tuibench.serving.model_process import ModelGoneError, RefusedError

HOST = "127.0.0.1"
"""Never another: there is no encryption, and one model for all."""
_MOST_BODY_BYTES = 16 << 20
_LOOK_S = 0.2
"""How often it is seen whether a client that waits is still there."""
_APIS: dict[str, Api] = {"/v1/completions": "completions", "/v1/chat/completions": "chat"}


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


class ApiServer(ThreadingHTTPServer):
    """Listens as soon as it is made; answers while `serve_forever` runs."""

    daemon_threads = True

    def __init__(
        self, port: int, key: str, model: str, answers: AnswerQueue, log: Callable[[str, Finished], None]
    ) -> None:
        """Bind the port.

        Args:
            port: 0 for any.
            key: What clients have to know.
            model: What the model is called.
            answers: Who answers.
            log: Told of each answer, with its path.

        Raises:
            OSError: The port is taken.
        """
        self.key, self.model, self.answers, self.log = key.encode(), model, answers, log
        self.created = int(time.time())
        super().__init__((HOST, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"
    server_version = f"tuibench/{tuibench.__version__}"
    timeout = 60
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answered(self._list)

    def do_POST(self) -> None:
        self._answered(self._generate)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        """Say nothing: answers are told of once they are whole."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is not HTTP, or has another method, as OpenAI's API does."""
        del explain
        self.close_connection = True
        self._send(code, RequestError(message or HTTPStatus(code).phrase, status=code).body)

    def _answered(self, answer: Callable[[], None]) -> None:
        try:
            try:
                self._check_key()
                answer()
            except RequestError as error:
                self.close_connection = True  # what is left of the request was not read
                self._send(error.status, error.body)
        except (ClientGoneError, ConnectionError, TimeoutError):
            self.close_connection = True

    def _check_key(self) -> None:
        scheme, _, key = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), self.server.key):
            what = "a wrong key" if key else "no key"
            raise RequestError(
                f"the request has {what}: send it as `Authorization: Bearer KEY`", status=401, code="invalid_api_key"
            )

    def _list(self) -> None:
        path = self.path.partition("?")[0].rstrip("/")
        model = {"id": self.server.model, "object": "model", "created": self.server.created, "owned_by": "tuibench"}
        if path == "/v1/models":
            self._send(HTTPStatus.OK, {"object": "list", "data": [model]})
        elif path == f"/v1/models/{self.server.model}":
            self._send(HTTPStatus.OK, model)
        else:
            raise _no_such_path(path)

    def _generate(self) -> None:
        path = self.path.partition("?")[0].rstrip("/")
        if path not in _APIS:
            raise _no_such_path(path)
        request = asked(_APIS[path], self._body(), self.server.model)
        answer = self.server.answers.ask(request.order)
        try:
            finished = self._send_answer(request, answer)
        except BaseException:
            self.server.answers.cancel(answer)
            raise
        self.server.log(path, finished)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise RequestError("Content-Length is missing", status=411)
        if int(length) > _MOST_BODY_BYTES:
            raise RequestError(f"the body is larger than {_MOST_BODY_BYTES >> 20} MiB", status=413)
        return self.rfile.read(int(length))

    def _send_answer(self, request: Asked, answer: Answer) -> Finished:
        events = self._events(answer)
        first = next(events)
        if not isinstance(first, Started):
            raise _as_request_error(first)
        wording = Wording(request, self.server.model)
        return self._stream(wording, events) if request.stream else self._send_whole(wording, events)

    def _events(self, answer: Answer) -> Iterator[Event]:
        while True:
            if _has_hung_up(self.connection):
                raise ClientGoneError
            with contextlib.suppress(queue.Empty):
                yield answer.events.get(timeout=_LOOK_S)

    def _send_whole(self, wording: Wording, events: Iterator[Event]) -> Finished:
        texts: list[str] = []
        for event in events:
            match event:
                case Piece(text):
                    texts.append(text)
                case Finished() as finished:
                    self._send(HTTPStatus.OK, wording.whole("".join(texts), finished))
                    return finished
                case _:
                    raise _as_request_error(event)
        raise AssertionError("answers end with `Finished` or an error")

    def _stream(self, wording: Wording, events: Iterator[Event]) -> Finished:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if opening := wording.opening():
            self._send_event(opening)
        for event in events:
            match event:
                case Piece(text):
                    self._send_event(wording.piece(text))
                case Finished() as finished:
                    for last in wording.ending(finished):
                        self._send_event(last)
                    self._send_chunk(b"data: [DONE]\n\n")
                    self._send_chunk(b"")
                    return finished
                case _:
                    self._send_event(_as_request_error(event).body)
                    self._send_chunk(b"")
                    raise ClientGoneError
        raise AssertionError("answers end with `Finished` or an error")

    def _send_event(self, event: dict[str, Any]) -> None:
        self._send_chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _send_chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(content)


def _no_such_path(path: str) -> RequestError:
    return RequestError(f"there is nothing at {path}; there are /v1/models, {', '.join(_APIS)}", status=404)


def _as_request_error(event: Event) -> RequestError:
    match event:
        case RefusedError(fault="length"):
            return RequestError(str(event), code="context_length_exceeded")
        case RefusedError(fault="request"):
            return RequestError(str(event))
        case ModelGoneError():
            return RequestError(f"the model is gone: {event}; the next request loads it again", status=503)
    return RequestError(str(event), status=500)


def _has_hung_up(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    try:
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
