"""TOML as tomli-w spells it, read at the speed of JSON: every value that it writes is JSON, too, but for dates.

Python's parser takes a microsecond for each item of an array, and a session has little else. What is spelled in any
other way (comments, inline tables, literal strings, hexadecimal numbers) is left to that parser, and so is whatever
might be wrong: the two never differ in what they make of a text.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

_Integers = list[Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]]
_KEY = r"[A-Za-z0-9_-]++"
_PLAIN = r'[^"\\\x00-\x08\x0a-\x1f\x7f]*+'
# JSON writes what is beyond U+FFFF as two escapes, which TOML forbids.
STRING = rf'"{_PLAIN}(?:\\(?:["\\bfnrt]|u(?![dD][89A-Fa-f])[0-9A-Fa-f]{{4}}){_PLAIN})*+"'
_NUMBER = r"-?+(?:0|[1-9][0-9]{0,17}+)(?:\.[0-9]{1,32}+)?+(?:[eE][+-]?[0-9]{1,3}+)?+"
_INTEGERS = r"\[\n?\ *+-?[0-9][^\]]*+\]"  # or something else that begins so, which is found out as it is read
_STRINGS = rf"\[(?:\n?\ *+{STRING},?)++\n?\]"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{3}(?:[0-9]{3})?)?"
OFFSET_DATE_TIME = rf"{_DATE}[T\ ]{_TIME}(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
# The last branch takes all the rest, so that each match begins where the one before ends.
_LINES = re.compile(
    rf"""(?:
        ({_KEY})\ =\ (?:({STRING}|{_NUMBER}|true|false|\[\]|{_INTEGERS}|{_STRINGS})|({OFFSET_DATE_TIME}|{_DATE}))
        |\[({_KEY}(?:\.{_KEY}){{0,7}}+)\]
        |\[\[({_KEY})\]\]
    )(?:\n++|\Z)
    |(?s:.++)""",
    re.VERBOSE,
)

_read = msgspec.json.Decoder().decode
_read_integers = msgspec.json.Decoder(_Integers).decode
_read_strings = msgspec.json.Decoder(list[str]).decode


def plain_table(text: str) -> dict[str, Any] | None:
    """Return the table that a text holds; None where it is not spelled as tomli-w would, or holds anything odd."""
    if "\r" in text:  # which JSON takes for a blank wherever it stands
        return None
    root: dict[str, Any] = {}
    here = root
    try:
        for line in _LINES.finditer(text):
            key, value, moment, table, array = line.groups()
            if key and key not in here:
                here[key] = _value(value) if value else _moment(moment)
            elif table and (opened := _opened(root, table)) is not None:
                here = opened
            elif array and array not in root:
                here = {}
                root[array] = [here]
            else:
                return None
    except (ValueError, msgspec.DecodeError):
        return None
    return root


def _value(text: str) -> Any:  # noqa: ANN401 - whatever TOML knows
    if text[0] != "[":
        return _read(text.replace("\t", r"\t"))  # in a string; JSON has none as such
    if text.endswith(",\n]"):
        text = f"{text[:-3]}]"
    return _read_strings(text.replace("\t", r"\t")) if '"' in text else _read_integers(text)


def _moment(text: str) -> date:
    return datetime.fromisoformat(text) if len(text) > len("2026-01-01") else date.fromisoformat(text)


def _opened(root: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return a new table in its place; None where the place is taken."""
    *above, last = name.split(".")
    table = root
    for part in above:
        table = table.setdefault(part, {})
        if type(table) is not dict:
            return None
    if last in table:
        return None
    new: dict[str, Any] = {}
    table[last] = new
    return new
