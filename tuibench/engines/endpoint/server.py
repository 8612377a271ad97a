"""HTTP to one server: connections, their time-outs, and every way in which it can go wrong as one line."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tuibench.core.format import printable
from tuibench.core.run.endpoint import Endpoint
from tuibench.engines.base import StreamError, StreamRefusedError

CONNECT_S = 10.0
READ_S = 290.0
"""Without a byte. Below what a worker may be silent between tokens, so that the server is named as the reason."""
_MAX_BODY_BYTES = 4 << 20
_SHOWN_CHARS = 200
_OK = 200
_REDIRECTS = range(300, 400)
_FAULTS = range(500, 600)


class StatusError(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, body: str, retry_after: str | None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.retry_after = retry_after


class Server:
    """One server, asked over a new connection each time: none is kept that may have died meanwhile."""

    def __init__(self, endpoint: Endpoint, read_s: float = READ_S) -> None:
        """Take its address, and its key from the environment.

        Args:
            endpoint: A checked one.
            read_s: Longest wait for the next byte.

        Raises:
            StreamRefusedError: The key is missing, or cannot be one.
        """
        parts = urlsplit(endpoint.url)
        self._host, self._port = parts.hostname or "", parts.port
        self._tls = parts.scheme == "https"
        self._root = parts.path.rstrip("/")
        self._address = endpoint.url
        self._read_s = read_s
        self._key_env = endpoint.key_env
        self._key = _key(endpoint.key_env)

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, ready for one request.

        Raises:
            StreamError: Nobody answers there in time.
            StreamRefusedError: Nobody answers there.
        """
        connection: http.client.HTTPConnection
        if self._tls:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_S, context=context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_S)
        with self.explained():
            connection.connect()
            connection.sock.settimeout(self._read_s)
        return connection

    def get(self, path: str) -> object:
        """Return the JSON of a path below the address.

        Raises:
            StatusError: The server answers with an error.
            StreamError: It does not answer in time, or breaks off.
            StreamRefusedError: It does not answer, or with something else.
        """
        connection = self.connect()
        try:
            with self.explained():
                connection.request("GET", self._root + path, headers=self._headers("application/json"))
                response = connection.getresponse()
                self._check_status(response)
                return json.loads(_body(response))
        except ValueError:
            raise self._no_api(response) from None
        finally:
            connection.close()

    def post(
        self, connection: http.client.HTTPConnection, path: str, body: Mapping[str, Any]
    ) -> http.client.HTTPResponse:
        """Send JSON, and return the response whose body is a stream of events.

        Raises:
            StatusError: The server answers with an error.
            StreamError: It does not answer in time, or breaks off.
            StreamRefusedError: It answers with something else than a stream.
        """
        with self.explained():
            headers = self._headers("text/event-stream") | {"Content-Type": "application/json"}
            connection.request("POST", self._root + path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            self._check_status(response)
        kind = response.headers.get_content_type()
        if kind == "application/json":
            raise StreamRefusedError(
                f"{self._address} answers in one piece, not as a stream: nothing in it can be timed"
            )
        if kind != "text/event-stream":
            raise self._no_api(response)
        return response

    def refusal(self, error: StatusError) -> StreamError | StreamRefusedError:
        """Return what to raise for an error that the server answered with."""
        said = self.said(_message(error.body))
        match error.status:
            case 401 | 403 if self._key_env is None:
                return StreamRefusedError(
                    f"{self._address} wants a key ({error.status}): put it into an environment variable and name that "
                    "with --endpoint-key-env"
                )
            case 401 | 403:
                return StreamRefusedError(
                    f"{self._address} does not take the key in {self._key_env} ({error.status}){said}"
                )
            case 404:
                return StreamRefusedError(
                    f"{self._address} has no such path or model (404){said}: the address ends in /v1 with most "
                    "servers, and their /v1/models says how the model is called"
                )
            case 429:
                wait = f" for {self.shown(error.retry_after)} s" if error.retry_after else ""
                return StreamError(
                    f"{self._address} has too many requests (429){said}: leave it alone{wait}, then resume"
                )
            case status if status in _REDIRECTS:
                return StreamRefusedError(f"{self._address} points elsewhere ({status}): give the address it points to")
            case status if status in _FAULTS:
                return StreamError(f"{self._address} failed ({status}){said}: its own log says why")
            case status:
                return StreamRefusedError(f"{self._address} refuses the request ({status}){said}")

    def said(self, message: str) -> str:
        """Return what a server said, to be put behind a sentence; nothing if it said nothing."""
        return f", it says: {self.shown(message)}" if message else ""

    def shown(self, text: str) -> str:
        """Return some text of the server's in one line, without the key: servers repeat what they were given."""
        if self._key is not None:
            text = text.replace(self._key, "<key>")
        line = printable(" ".join(text.split()))
        return line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 1]}…"

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the network does into what the user can do."""
        try:
            yield
        except TimeoutError as error:
            raise StreamError(
                f"{self._address} does not answer in time: is the server busy, or the address another's?"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise StreamRefusedError(
                f"{self._address}: its certificate is not trusted ({error.verify_message}): name the authority that "
                "signed it in SSL_CERT_FILE"
            ) from error
        except ssl.SSLError as error:
            raise StreamRefusedError(
                f"{self._address} does not speak TLS ({error.reason}): is it http:// there?"
            ) from error
        except socket.gaierror as error:
            raise StreamRefusedError(f"{self._address}: there is no such host: correct the address") from error
        except ConnectionRefusedError as error:
            raise StreamRefusedError(
                f"nobody listens at {self._address}: start the server, or correct the address"
            ) from error
        except http.client.IncompleteRead as error:
            raise StreamError(f"{self._address} broke off in the middle of a stream: its own log says why") from error
        except http.client.RemoteDisconnected as error:
            raise StreamError(
                f"{self._address} closed the connection without an answer: its own log says why"
            ) from error
        except http.client.HTTPException as error:
            raise StreamRefusedError(f"{self._address} does not speak HTTP: correct the address") from error
        except OSError as error:
            raise StreamError(
                f"{self._address}: the connection broke ({error.strerror or type(error).__name__})"
            ) from error

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept, "User-Agent": "tuibench"}
        return headers if self._key is None else headers | {"Authorization": f"Bearer {self._key}"}

    def _check_status(self, response: http.client.HTTPResponse) -> None:
        if response.status != _OK:
            body = _body(response).decode("utf-8", errors="replace")
            raise StatusError(response.status, body, response.headers.get("Retry-After"))

    def _no_api(self, response: http.client.HTTPResponse) -> StreamRefusedError:
        kind = self.shown(response.headers.get_content_type())
        return StreamRefusedError(
            f"{self._address} answers with {kind}, so it is not an OpenAI-compatible API: correct the address, which "
            "ends in /v1 with most servers"
        )


def _key(variable: str | None) -> str | None:
    """Return the key in an environment variable; None without a variable."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise StreamRefusedError(f"the environment variable {variable} is not set: put the endpoint's key into it")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise StreamRefusedError(
            f"the key in the environment variable {variable} has blanks or characters outside ASCII: take another"
        )
    return key


def _body(response: http.client.HTTPResponse) -> bytes:
    return response.read(_MAX_BODY_BYTES)


def _message(body: str) -> str:
    """Return the message in an error's body; of something else than JSON, nothing: it is a page for a browser."""
    try:
        found = json.loads(body)
    except ValueError:
        return "" if "<" in body else body
    while isinstance(found, dict):
        found = found.get("error", found.get("message", found.get("detail", "")))
    return found if isinstance(found, str) else json.dumps(found)
