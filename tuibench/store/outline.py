"""What a list of sessions needs of a session's tables, read without reading the rest.

A table that stands in the file as this program writes it is matched as a whole, which proves that all of it could be
read, and tells where the next one begins; only the values are made that a list or the check of a record looks at. Any
other table is read in full.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from datetime import datetime
from functools import cache
from typing import Annotated, Any, NamedTuple, cast

import msgspec
from msgspec import Meta, inspect

from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.plain_toml import OFFSET_DATE_TIME, STRING
from tuibench.store.plausible import check_text, check_times

_SHAPE = ("prompt_tokens", "depth_tokens", "max_new_tokens", "n_threads", "n_users")
_USERS = ("users_ttft_ns", "users_n_gen", "users_first", "step_users")
_NEEDED = ("method", "index", "warmup", *_SHAPE, "ttft_ns", "step_ns", *_USERS, "finished")
"""In the order in which a record has them."""
_SHAPE_AT, _TIMES_AT, _USERS_AT = slice(3, 8), slice(8, 10), slice(10, 14)
_SAID = ("token_ids", "piece_chars", "text")
"""Neighbours in the file: a greedy method says the same in every trial."""
_OF_OTHERS = frozenset({
    "failure_kind", "failure_phase", "failure_message", "log_tail", "n_told", "users_n_told",
    "depths", "depth_klds", "depth_kld_ses", "depth_top1s",
})  # fmt: skip
"""A failed trial is read in full: there are few, and they are short; so is one of a server, whose tokens are counted
otherwise, and quality by context position, whose numbers must fit each other."""

_FACTS = ("facts", "validity")
"""Few arrays of strings that stand in many trials."""
_COUNTS = r"\[\n?\ *+[0-9][0-9,\ \n]*+\]"
_READ_COUNTS = r"\[\n?\ *+[0-9][^\]]*+\]"
"""Whatever begins like one is read as an array of counts, which is quicker than to match all that it is made of."""
_ONCE_MATCHED = r"\[[^\]]*+\]"
"""Of the same array of strings only the first is matched."""
_STRINGS = rf"\[\n?\ *+{STRING}(?:,[\ \n]\ *+{STRING})*+(?:,\n)?+\]"
_TABLE_END = r"(?:\n++(?=\[\[)|\n*+\Z)"
_SPELLINGS: dict[type[inspect.Type], str] = {
    inspect.BoolType: "true|false",
    inspect.IntType: "0|[1-9][0-9]{0,17}+",
    inspect.FloatType: r"-?+(?:0|[1-9][0-9]{0,17}+)(?:\.[0-9]{1,32}+)?+(?:e[+-]?[0-9]{1,2}+)?+",  # finite
    inspect.StrType: STRING,
    inspect.DateTimeType: OFFSET_DATE_TIME,
}

_as_strings = re.compile(_STRINGS.encode()).fullmatch
_read_counts = msgspec.json.Decoder(tuple[Annotated[int, Meta(ge=0, le=(1 << 63) - 1)], ...]).decode
_read_string = msgspec.json.Decoder(str).decode


class _TrialLayout(NamedTuple):
    """The table of a trial that went well, its fields in the order in which they are written."""

    before: re.Pattern[bytes]
    said: re.Pattern[bytes]
    after: re.Pattern[bytes]


class Outlined(NamedTuple):
    """A table that need not be read in full."""

    trial: TrialRecord | None
    """Without what a list does not need; None for a method's quality, of which a list shows nothing."""
    end: int
    """Where the next table begins, or the file ends."""


class Outlines:
    """Reads the tables of one session."""

    def __init__(self, content: bytes) -> None:
        """Take the whole file."""
        self._content = content
        self._as_written = b"\r" not in content  # which JSON takes for a blank between numbers, and TOML does not
        self._trial, self._quality = _trial(), _quality()
        self._methods: dict[bytes, str] = {}
        """As they stand in the file."""
        self._said: dict[tuple[bytes, bytes | None], tuple[bytes, tuple[int, ...]]] = {}
        """What each method said last, and any of them last said anew, as it stands in the file, and its tokens; warm-up
        trials are shorter."""
        self._facts: set[bytes] = set()
        """Arrays of strings, as they stand in the file."""

    def read(self, start: int) -> Outlined | None:
        """Return the outline of the table that begins there; None where it must be read in full."""
        if not self._as_written:
            return None
        try:
            return self._read_trial(start) or self._read_quality(start)
        except (ValueError, msgspec.DecodeError):  # why it is refused is told by who reads it in full
            return None

    def _read_quality(self, start: int) -> Outlined | None:
        found = self._quality.match(self._content, start)
        if found is None:
            return None
        datetime.fromisoformat(found["finished"].decode())
        return Outlined(None, found.end())

    def _read_trial(self, start: int) -> Outlined | None:
        before = self._trial.before.match(self._content, start)
        if before is None:
            return None
        groups = before.groups()
        method, index, warmup = groups[:3]
        shape, (ttft, steps), users = groups[_SHAPE_AT], groups[_TIMES_AT], groups[_USERS_AT]
        end = before.end()
        said, token_ids = self._read_said((method, warmup), end)
        after = self._trial.after.match(self._content, end + len(said))
        if after is None:
            return None
        facts, validity, finished = after.groups()
        if not (self._is_strings(facts) and self._is_strings(validity)):
            return None
        several: dict[str, Any] = {}
        if any(shape):
            several = {name: int(value) for name, value in zip(_SHAPE, shape, strict=True) if value}
        if any(users):
            several |= zip(_USERS, map(_counts, users), strict=True)
        record = TrialRecord(
            method=self._method(method),
            index=int(index),
            warmup=warmup == b"true",
            ttft_ns=int(ttft) if ttft else None,
            step_ns=_counts(steps),
            token_ids=token_ids,
            finished=datetime.fromisoformat(finished.decode()),
            **several,
        )
        if any(users):
            check_times(record)
        elif record.ttft_ns == 0 or len(record.step_ns) < len(token_ids) - 1:
            return None  # the rest of what `check_times` asks of one user's times follows from how they are spelled
        return Outlined(record, after.end())

    def _method(self, name: bytes) -> str:
        method = self._methods.get(name)
        if method is None:
            method = self._methods[name] = _read_string(name)
        return method

    def _read_said(self, who: tuple[bytes, bytes | None], start: int) -> tuple[bytes, tuple[int, ...]]:
        known = self._said.get(who)
        if known is not None and self._content.startswith(known[0], start):
            return known
        anybody = b"", who[1]
        known = self._said.get(anybody)
        if known is not None and self._content.startswith(known[0], start):
            self._said[who] = known
            return known
        match = cast("re.Match[bytes]", self._trial.said.match(self._content, start))  # it matches nothing, too
        ids, piece_chars, text = match.groups()
        token_ids = _counts(ids)
        if piece_chars and not token_ids:
            raise ValueError("pieces of text, whose number is checked where they are read in full")
        check_text(token_ids, _counts(piece_chars), _read_string(text) if text else "")
        said = match[0], token_ids
        if token_ids:
            self._said[who] = self._said[anybody] = said
        return said

    def _is_strings(self, array: bytes | None) -> bool:
        if array is None or array in self._facts:
            return True
        if _as_strings(array) is None:
            return False
        self._facts.add(array)
        return True


def _counts(array: bytes | None) -> tuple[int, ...]:
    if not array:
        return ()
    return _read_counts(array[:-3] + b"]" if array.endswith(b",\n]") else array)


@cache
def _trial() -> _TrialLayout:
    fields = _fields(TrialRecord)
    names = [field.name for field in fields]
    start, end = names.index(_SAID[0]), names.index(_SAID[-1]) + 1
    return _TrialLayout(
        _pattern(r"\[\[trials\]\]\n", fields[:start]), _pattern("", fields[start:end]), _pattern("", fields[end:])
    )


@cache
def _quality() -> re.Pattern[bytes]:
    return _pattern(r"\[\[quality\]\]\n", _fields(QualityRecord), ("kld_mean", "top1"))


def _fields(record: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    return cast("inspect.StructType", inspect.type_info(record)).fields


def _pattern(start: str, fields: Iterable[inspect.Field], required: Container[str] = ()) -> re.Pattern[bytes]:
    lines = [_line(field, required) for field in fields if field.name not in _OF_OTHERS]
    return re.compile(f"{start}{''.join(lines)}".encode())


def _line(field: inspect.Field, required: Container[str]) -> str:
    looked_at = field.name in _NEEDED + _SAID + _FACTS
    spelling = _spelling(field.type)
    if looked_at and isinstance(field.type, inspect.VarTupleType):
        spelling = _ONCE_MATCHED if field.name in _FACTS else _READ_COUNTS
    line = rf"{field.name}\ =\ ({f'?P<{field.name}>' if looked_at else '?:'}{spelling})"
    if field.name == _NEEDED[-1]:
        return line + _TABLE_END
    return rf"{line}\n" if field.required or field.name in required else rf"(?:{line}\n)?+"


def _spelling(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.UnionType):  # with None, which is not written
        return "|".join(_spelling(each) for each in kind.types if not isinstance(each, inspect.NoneType))
    if isinstance(kind, inspect.EnumType):
        return "|".join(f'"{re.escape(each.value)}"' for each in kind.cls)
    if isinstance(kind, inspect.VarTupleType):
        return _STRINGS if isinstance(kind.item_type, inspect.StrType) else _COUNTS
    return _SPELLINGS[type(kind)]
