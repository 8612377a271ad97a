"""A server that runs already, as a row of a run: where it is, and what may be said of it.

It is another process, perhaps on another machine, behind a protocol that hands out text: no token ids, no logits, and
nothing of this program's own memory or of this machine's conditions describes it.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from tuibench.core.run.control import method_of

_ID = "endpoint"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_NO_URL = "the endpoint's address is not a URL; give one such as http://127.0.0.1:8080/v1"

Api = Literal["completions", "chat"]


class EndpointError(ValueError):
    """An endpoint is described in a way that cannot work; the message says what would, and quotes no secret."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An OpenAI-compatible server."""

    name: str = ""
    """Of its table in the settings file; empty for the one that the command line gives."""
    url: str
    """Up to `/v1`, as in `http://127.0.0.1:8080/v1`. It holds no user, no query and no key."""
    model: str
    """As the server calls it."""
    api: Api = "completions"
    """`completions` gets the text that all methods read; `chat` gets the prompt, and uses the server's own template."""
    key_env: str | None = None
    """The environment variable with the key; None for a server that wants none. Not kept in sessions."""

    @property
    def method(self) -> str:
        """What its row is called."""
        return f"{_ID}:{self.name}" if self.name else _ID

    def without_key(self) -> Endpoint:
        """Return what a session keeps of it."""
        return msgspec.structs.replace(self, key_env=None)

    def check(self) -> None:
        """Check that it can be asked at all.

        Raises:
            EndpointError: It cannot.
        """
        if self.name and not _NAME.fullmatch(self.name):
            raise EndpointError(f"endpoint name {self.name!r}: use lower-case letters, digits, '.', '_' and '-'")
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise EndpointError(_NO_URL) from None
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise EndpointError(
                "the endpoint's address holds a user, a password or a query: leave it out, and name the environment "
                "variable that has the key with --endpoint-key-env"
            )
        plain = self.url.isascii() and self.url.isprintable() and " " not in self.url
        if parts.scheme not in {"http", "https"} or not host or not plain:
            raise EndpointError(_NO_URL)
        if not self.model.strip():
            raise EndpointError("the endpoint's model is empty; name it as the server does, see its /v1/models")
        if self.key_env is not None and not _VARIABLE.fullmatch(self.key_env):
            # It is not quoted: somebody may have given the key itself.
            raise EndpointError("--endpoint-key-env wants the name of an environment variable, never the key itself")


def is_endpoint(method: str) -> bool:
    """Return whether a row is measured through a server that runs already."""
    name = method_of(method)
    return name == _ID or name.startswith(f"{_ID}:")
