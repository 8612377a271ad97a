"""A session is made to be shared: what names this machine or its user is taken out of free text."""

from __future__ import annotations

import getpass
import os
import re
import socket
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tuibench import paths

_SHORTEST_NAME = 4
"""A user called `max` would otherwise lose ordinary words."""
_ROLES = {
    "root", "user", "users", "admin", "administrator", "guest", "nobody", "test", "tester", "demo", "default", "home",
    "main", "master", "node", "worker", "runner", "builder", "build", "server", "host", "localhost", "cluster",
    "machine", "computer", "desktop", "laptop", "docker", "container", "jenkins", "vagrant", "vscode", "codespace",
    "jovyan", "ubuntu", "debian", "fedora", "centos", "azureuser",
}  # fmt: skip
"""Names that stand for no person and no machine, and in sentences mean something else: "square root", "the worker"."""


@cache
def private_words() -> dict[str, str]:
    """Return folders and names of this machine and its user, each with what stands for it."""
    roots = {
        str(paths.cache_dir()): "<cache>",
        sys.prefix: "<python>",
        sys.base_prefix: "<python>",
        str(Path(__file__).parents[2]): "<tuibench>",
        str(Path.cwd()): "<here>",
        str(Path.home()): "~",
        tempfile.gettempdir(): "<tmp>",
    }
    host = socket.gethostname()
    names = {host: "<host>", host.partition(".")[0]: "<host>", _user(): "<user>"}
    folders = {old: new for old, new in roots.items() if old and old != os.sep}
    telling = {old: new for old, new in names.items() if len(old) >= _SHORTEST_NAME and old.lower() not in _ROLES}
    return folders | telling


def _pattern(private: str) -> re.Pattern[str]:
    return _folder(private) if os.sep in private else re.compile(rf"(?<!\w){re.escape(private)}(?!\w)")


def _folder(path: str) -> re.Pattern[str]:
    """Return what finds a folder, and `/tmp` not in `/data/tmp` or `/tmpfs`."""
    before = r"(?<![\w.])" if path.count(os.sep) == 1 else ""
    return re.compile(rf"{before}{re.escape(path)}(?!\w)")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def redact(text: str, also: Mapping[str, str] | None = None) -> str:
    """Return the text without this machine's folders, host name and user name.

    Args:
        text: For a file that is made to be shared.
        also: The `private_words` of another machine that it may speak of.
    """
    private = private_words() | dict(also or {})
    for old in sorted(private, key=len, reverse=True):  # a folder inside another must be found before it
        text = _pattern(old).sub(private[old], text)
    return text
