"""A server started as a user starts it, and a client that knows nothing of ours."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager


class Served:
    """A running server.

    Attributes:
        said: Lines of its standard error so far.
    """

    def __init__(self, process, port, key):
        self.process, self.port, self.key = process, port, key
        self.said = []
        self._said_more = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            with self._said_more:
                self.said.append(line.rstrip("\n"))
                self._said_more.notify_all()

    def wait_until_said(self, words):
        with self._said_more:
            assert self._said_more.wait_for(lambda: any(words in line for line in self.said), timeout=120), self.said

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def request(self, method, path, body=None, *, key=None, connection=None):
        """Return the response, its body not read yet."""
        connection = connection or self.connection()
        headers = {"Authorization": f"Bearer {self.key if key is None else key}", "Content-Type": "application/json"}
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, content, headers)
        return connection.getresponse()

    def ask(self, path, **body):
        """Return status and JSON."""
        response = self.request("POST", f"/v1/{path}", body)
        return response.status, json.loads(response.read())

    def stream(self, path, **body):
        """Return the events of a stream; the last must be the end."""
        response = self.request("POST", f"/v1/{path}", {**body, "stream": True})
        assert response.headers["Content-Type"] == "text/event-stream"
        *events, done, rest = response.read().decode().split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]


@contextmanager
def served(method, model, *options, env=None, key_env=None):
    command = [sys.executable, "-m", "tuibench", "serve-model", method, "--model", str(model), "--port", "0", *options]
    environment = {**os.environ, **(env or {})}
    # Its own group: whoever runs the tests in the background has it ignore SIGINT.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, process_group=0
    )
    try:
        told = {}
        for line in process.stdout:
            if not line.strip():
                break
            name, _, value = line.strip().partition("=")
            told[name] = value
        assert "OPENAI_BASE_URL" in told, process.stderr.read()
        port = int(told["OPENAI_BASE_URL"].rpartition(":")[2].removesuffix("/v1"))
        yield Served(process, port, told.get("OPENAI_API_KEY") or environment[key_env])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(300)
