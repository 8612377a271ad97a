"""TOML from anywhere: read and parsed so that no file can hang the reader or fill its memory.

Python's own parser is safe, but not meant for hostile input: a key of many dotted parts takes it quadratic time, a
number of many digits likewise, and deep nesting ends in a `RecursionError`.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

_STRING_OR_COMMENT = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"""'
    r"|'''(?:[^']++|'(?!''))*+'''"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|#[^\n]*+",
    re.DOTALL,
)
# A value that is a long array of plain integers, behind whatever may only look like one.
_INTEGER_ARRAY = re.compile(
    rf"(?:{_STRING_OR_COMMENT.pattern})"
    r"|(?P<before>=[ \t]*+)\[(?P<items>(?:\s*+-?(?:0|[1-9]\d{0,17})\s*+(?:,|(?=\]))){16,}+)\s*+\]",
    re.DOTALL,
)
_HUGE = re.compile(r"\d[\d_]{18,}+")
_LONG_WORD = re.compile(r"[^\s,=\[\]{}]{1000}")
_LONG_KEY = re.compile(r"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){32}")
_BYTE_ORDER_MARK = "\ufeff"
"""Some editors begin a file with it; TOML has no such thing."""
_MAX_INT = 1 << 63
_MARK = 1 << 64


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
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise TomlInputError("it is not a regular file")
        content = file.read(max_bytes + 1)  # not the size it claims: it may grow meanwhile
    if len(content) > max_bytes:
        raise TomlInputError(f"it is larger than {max_bytes / (1 << 20):g} MiB")
    return content


def parse(text: str) -> dict[str, Any]:
    """Return the table that a text holds; integers in it fit 64 bits.

    Raises:
        TomlInputError: It is not TOML, or such as no honest file holds.
    """
    text = text.removeprefix(_BYTE_ORDER_MARK)
    arrays: list[list[int]] = []
    short = _INTEGER_ARRAY.sub(partial(_taken_out, arrays), text)
    bare = _STRING_OR_COMMENT.sub("_", short)
    if len(_HUGE.findall(bare)) != len(arrays):  # a number of its own might be taken for an array's place
        arrays.clear()
        short, bare = text, _STRING_OR_COMMENT.sub("_", text)
    if _LONG_WORD.search(bare) or _LONG_KEY.search(bare):
        raise TomlInputError("a key, a number or an unfinished string is too long")
    try:
        table = tomllib.loads(short)
    except RecursionError:
        raise TomlInputError("it is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError is one; a date that does not exist is another
        raise TomlInputError(str(error)) from None
    if not _fits(table, arrays):
        raise TomlInputError("a number does not fit 64 bits")
    return table


def _taken_out(arrays: list[list[int]], found: re.Match[str]) -> str:
    """Return what stands for an array of integers while the text is parsed: a number too large to be one of its own.

    Python's parser takes a microsecond for each item of an array, and a session has little else.
    """
    if found["items"] is None:  # a string or a comment
        return found[0]
    arrays.append([int(item) for item in found["items"].strip().removesuffix(",").split(",")])
    return f"{found['before']}{_MARK + len(arrays) - 1}"


def _fits(table: dict[str, Any], arrays: list[list[int]]) -> bool:
    """Put the arrays back in their places; return whether all other integers fit 64 bits."""
    waiting: list[Any] = [table]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key, item in value.items():
                if type(item) is int and 0 <= item - _MARK < len(arrays):
                    value[key] = arrays[item - _MARK]
                else:
                    waiting.append(item)
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, int) and not -_MAX_INT <= value < _MAX_INT:
            return False
    return True
