"""A session is made to be shared: what names this machine or its user is taken out of free text."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import tempfile
from functools import cache
from pathlib import Path

from tuibench import paths

_SHORTEST_NAME = 4
"""A user called `ann` would otherwise lose letters from ordinary words."""


@cache
def _replacements() -> tuple[tuple[str, str], ...]:
    """Return what to replace, longest first: a folder inside another must be found before it."""
    roots = {
        str(paths.cache_dir()): "<cache>",
        sys.prefix: "<python>",
        sys.base_prefix: "<python>",
        str(Path(__file__).parents[2]): "<tuibench>",
        str(Path.cwd()): "<here>",
        str(Path.home()): "~",
        tempfile.gettempdir(): "<tmp>",
    }
    names = {socket.gethostname(): "<host>", _user(): "<user>"}
    named = {name: mark for name, mark in names.items() if len(name) >= _SHORTEST_NAME}
    found = {old: new for old, new in (roots | named).items() if old and old != os.sep}
    return tuple(sorted(found.items(), key=lambda pair: -len(pair[0])))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def redact(text: str) -> str:
    """Return the text without this machine's folders, host name and user name."""
    for old, new in _replacements():
        text = text.replace(old, new)
    return text
