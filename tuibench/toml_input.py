"""TOML from anywhere: read and parsed so that no file can hang the reader or fill its memory.

Python's own parser is safe, but not meant for hostile input: a key of many dotted parts takes it quadratic time, a
number of many digits likewise, and deep nesting ends in a `RecursionError`.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from tuibench.plain_toml import plain_table

_STRING_OR_COMMENT = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"""'
    r"|'''(?:[^']++|'(?!''))*+'''"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|#[^\n]*+",
    re.DOTALL,
)
_LONG_WORD = re.compile(r"[^\s,=\[\]{}]{1000}")
_LONG_KEY = re.compile(r"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){32}")
_BYTE_ORDER_MARK = "\ufeff"
"""Some editors begin a file with it; TOML has no such thing."""
_MAX_INT = 1 << 63


class TomlInputError(Exception):
    """A file or text is not TOML that this program reads; the message gives the reason without the file's name."""


def read_text(path: Path, max_bytes: int) -> str:
    """Return a regular file's text; bytes that are not UTF-8 become U+FFFD. Raises as `read_bytes` does."""
    return read_bytes(path, max_bytes).decode("utf-8", errors="replace")


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Return a regular file's content.

    Raises:
        TomlInputError: It is larger than `max_bytes`, or a folder, a pipe or a device.
        OSError: It cannot be read.
    """
    # Without O_NONBLOCK, opening a pipe would wait for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise TomlInputError("it is not a regular file")
        content = file.read(min(status.st_size, max_bytes) + 1)  # room is made for as much as is asked for
        if len(content) > status.st_size:  # it claims another size than it has, or grows meanwhile
            content += file.read(max_bytes + 1 - len(content))
    if len(content) > max_bytes:
        raise TomlInputError(f"it is larger than {max_bytes / (1 << 20):g} MiB")
    return content


def parse(text: str) -> dict[str, Any]:
    """Return the table that a text holds; integers in it fit 64 bits.

    Raises:
        TomlInputError: It is not TOML, or such as no honest file holds.
    """
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if (plain := plain_table(text)) is not None:
        return plain
    bare = _STRING_OR_COMMENT.sub("_", text)
    if _LONG_WORD.search(bare) or _LONG_KEY.search(bare):
        raise TomlInputError("a key, a number or an unfinished string is too long")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise TomlInputError("it is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError is one; a date that does not exist is another
        raise TomlInputError(str(error)) from None
    if not _fits(table):
        raise TomlInputError("a number does not fit 64 bits")
    return table


def _fits(table: dict[str, Any]) -> bool:
    """Return whether all integers fit 64 bits."""
    waiting: list[Any] = [table]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, int) and not -_MAX_INT <= value < _MAX_INT:
            return False
    return True
