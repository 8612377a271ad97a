"""A program on a host that answers each line with a line of JSON; talking to it blocks."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from tuibench.core.run.host import Host
from tuibench.measure.hosts.explain import no_connection
from tuibench.measure.hosts.host import HostUnusableError

_END_S = 5


class FarEnd:
    """From its first word to `close`."""

    def __init__(self, host: Host, command: Sequence[str], first: bytes = b"") -> None:
        """Start it and wait for its first word, past whatever a login shell writes.

        Args:
            host: The machine.
            command: The launcher's words and what is started there.
            first: What it is given before it says anything.

        Raises:
            HostUnusableError: It does not start.
        """
        self._host = host
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as this is
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=os.environ | {"SSH_ASKPASS_REQUIRE": "never"},  # nobody sits there to be asked for a password
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise self.unusable(
                f"the launcher {host.launcher[0]} cannot be started: {error.strerror}; install it"
            ) from error
        try:
            self.write(first)
            self.ready = self._first_word()
        except BaseException:
            self.close()
            raise

    def unusable(self, why: str) -> HostUnusableError:
        """Return what to raise."""
        return HostUnusableError(f"{self._host.name}: {why}")

    def ask(self, **order: object) -> Any:  # noqa: ANN401 - whatever it answers
        """Give an order, and return the answer.

        Raises:
            HostUnusableError: It could not be done.
        """
        return self.ask_line(json.dumps(order).encode())

    def ask_line(self, order: bytes) -> Any:  # noqa: ANN401 - whatever it answers
        """Give an order that is JSON already, and return the answer.

        Raises:
            HostUnusableError: It could not be done.
        """
        self.write(order + b"\n")
        return self.answer()

    def write(self, content: bytes) -> None:
        """Give it bytes.

        Raises:
            HostUnusableError: It is gone.
        """
        if self._process.stdin is None:
            raise RuntimeError("it has a pipe")
        try:
            self._process.stdin.write(content)
            self._process.stdin.flush()
        except OSError as error:
            raise self._lost() from error

    def answer(self) -> Any:  # noqa: ANN401 - whatever it answers
        """Wait for an answer.

        Raises:
            HostUnusableError: It is gone, or says why there is none.
        """
        line = self._line()
        try:
            answer = json.loads(line)
        except ValueError:
            raise self.unusable("broke the protocol") from None
        if isinstance(answer, dict) and "error" in answer:
            raise self.unusable(answer["error"])
        return answer

    def _first_word(self) -> dict[str, Any]:
        while True:
            try:
                answer = json.loads(self._line())
            except ValueError:
                continue
            if isinstance(answer, dict):
                return answer

    def _line(self) -> bytes:
        if self._process.stdout is None:
            raise RuntimeError("it has a pipe")
        if line := self._process.stdout.readline():
            return line
        raise self._lost()

    def _lost(self) -> HostUnusableError:
        self._process.kill()
        self._process.wait()
        self._log.seek(0)
        return no_connection(self._host, self._process.returncode, self._log.read())

    def give_up(self) -> None:
        """End the launcher: whoever waits for an answer has none then."""
        self._process.kill()

    def close(self) -> None:
        """End it: it ends with its input."""
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # it is gone, and what was meant for it with it
                pass
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
