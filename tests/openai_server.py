"""A server that answers as a test says: what OpenAI-compatible ones were seen to send, and their faults."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = (" one", " two", " three", " four", " five", " six", " seven", " eight")


def completion(text, **more):
    return {"model": "tiny", "choices": [{"index": 0, "text": text, "finish_reason": None}], **more}


def chat(**delta):
    return {"model": "tiny", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def finish(reason="length"):
    return {"model": "tiny", "choices": [{"index": 0, "text": "", "delta": {}, "finish_reason": reason}]}


def usage(n_prompt, n_gen, n_cached=0):
    details = {} if n_cached is None else {"prompt_tokens_details": {"cached_tokens": n_cached}}
    counts = {"prompt_tokens": n_prompt, "completion_tokens": n_gen, "total_tokens": n_prompt + n_gen}
    return {"choices": [], "usage": counts | details}


def a_token_each(asked):
    """Return the events of a generation of as many tokens as are asked for, each in an event of its own."""
    n_gen = asked["max_tokens"]
    return [*(completion(WORDS[i % len(WORDS)]) for i in range(n_gen)), finish(), usage(5, n_gen), "[DONE]"]


class Script:
    """What the server does; all may be changed while it runs."""

    def __init__(self):
        self.models = {"object": "list", "data": [{"id": "tiny", "object": "model", "owned_by": "scripted"}]}
        self.events = a_token_each
        """Makes the events of an answer of what was asked for; text is sent as it is."""
        self.status = None
        """Status, body and headers of an error, instead of events."""
        self.refused = ()
        """Parameters that it knows nothing of."""
        self.raw = None
        """Content type and bytes, instead of a stream."""
        self.cut = False
        """Whether the connection breaks in the middle of the last chunk."""
        self.asked = []
        """Bodies of the requests, with the path as `path` and the key as `authorization`."""
        self.gate = threading.Event()
        """What an event `wait` waits for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.script.models is None:
            self._send(404, b"not here")
        elif isinstance(self.script.models, bytes):
            self._send(200, self.script.models, "text/html")
        else:
            self._send(200, json.dumps(self.script.models).encode())

    def do_POST(self):
        script = self.script
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        script.asked.append(asked | {"path": self.path, "authorization": self.headers.get("Authorization")})
        unknown = [name for name in script.refused if name in asked]
        if unknown:
            message = f"Unrecognized request argument supplied: {unknown[0]}"
            self._send(400, json.dumps({"error": {"message": message}}).encode())
        elif script.status is not None:
            status, body, headers = script.status
            self._send(status, body.encode(), **headers)
        elif script.raw is not None:
            kind, body = script.raw
            self._send(200, body, kind)
        else:
            self._stream(script.events(asked))

    def _send(self, status, body, kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, events):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in events:
                if event == "wait":
                    self.script.gate.wait()
                    continue
                data = event.encode() if isinstance(event, str) else json.dumps(event).encode()
                chunk = b"data: %b\n\n" % data if not data.startswith((b":", b"error:")) else data + b"\n\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            if self.script.cut:
                self.wfile.write(b"400\r\ndata: {")
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that has had enough goes away
            super().handle_error(request, client_address)


@contextmanager
def openai_server():
    """Yield a script and the address of a server that follows it."""
    script = Script()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"script": script}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield script, f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        script.gate.set()
        server.shutdown()
        server.server_close()
