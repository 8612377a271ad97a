"""What a list of sessions needs of a session's tables, read without reading the rest.

A table that stands in the file as this program writes it is matched as a whole, which proves that all of it could be
read; only the values are made that a list or the check of a record looks at. Any other table is read in full.
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
_NEEDED = ("method", "index", "warmup", *_SHAPE, "ttft_ns", "step_ns", "finished")
_SAID = ("token_ids", "piece_chars", "text")
"""Neighbours in the file: a greedy method says the same in every trial."""
_OF_OTHERS = frozenset({"failure_kind", "failure_phase", "failure_message", "log_tail", "n_told"})
"""A failed trial is read in full: there are few, and they are short; so is one of a server, whose tokens are counted
otherwise."""

_COUNTS = r"\[\n?\ *+[0-9][0-9,\ \n]*+\]"
_STRINGS = rf"\[\n?\ *+{STRING}(?:,[\ \n]\ *+{STRING})*+(?:,\n)?+\]"
_SPELLINGS: dict[type[inspect.Type], str] = {
    inspect.BoolType: "true|false",
    inspect.IntType: "0|[1-9][0-9]{0,17}+",
    inspect.FloatType: r"-?+(?:0|[1-9][0-9]{0,17}+)(?:\.[0-9]{1,32}+)?+(?:e[+-]?[0-9]{1,2}+)?+",  # finite
    inspect.StrType: STRING,
    inspect.DateTimeType: OFFSET_DATE_TIME,
}

_read_counts = msgspec.json.Decoder(tuple[Annotated[int, Meta(ge=0, le=(1 << 63) - 1)], ...]).decode
_read_string = msgspec.json.Decoder(str).decode


class _TrialLayout(NamedTuple):
    """The table of a trial that went well, its fields in the order in which they are written."""

    before: re.Pattern[bytes]
    said: re.Pattern[bytes]
    after: re.Pattern[bytes]


def is_quality(table: bytes) -> bool:
    """Return whether a table is surely one of a method's quality, of which a list shows nothing."""
    found = _quality().fullmatch(table) if table.startswith(b"[[quality]]") else None
    if found is None:
        return False
    try:
        datetime.fromisoformat(found["finished"].decode())
    except ValueError:
        return False
    return True


class Outlines:
    """Reads the trials of one session."""

    def __init__(self) -> None:
        self._said: dict[tuple[bytes, bool], tuple[bytes, tuple[int, ...]]] = {}
        """What each method said last, as it stands in the file, and its tokens; warm-up trials are shorter."""

    def outline(self, table: bytes) -> TrialRecord | None:
        """Return a trial without what a list does not need; None where its table must be read in full.

        Args:
            table: From `[[trials]]` up to the next table.
        """
        before = _trial().before.match(table)
        if before is None:
            return None
        method, index, warmup, ttft_ns, step_ns = before.group("method", "index", "warmup", "ttft_ns", "step_ns")
        try:
            said, token_ids = self._read_said((method, warmup is None), table, before.end())
            after = _trial().after.fullmatch(table, before.end() + len(said))
            if after is None:
                return None
            shape: dict[str, Any] = {name: int(value) for name in _SHAPE if (value := before[name])}
            record = TrialRecord(
                method=_read_string(method),
                index=int(index),
                warmup=warmup == b"true",
                **shape,
                ttft_ns=int(ttft_ns) if ttft_ns else None,
                step_ns=_counts(step_ns),
                token_ids=token_ids,
                finished=datetime.fromisoformat(after["finished"].decode()),
            )
            check_times(record)
        except (ValueError, msgspec.DecodeError):  # why it is refused is told by who reads it in full
            return None
        return record

    def _read_said(self, who: tuple[bytes, bool], table: bytes, start: int) -> tuple[bytes, tuple[int, ...]]:
        known = self._said.get(who)
        if known is not None and table.startswith(known[0], start):
            return known
        match = cast("re.Match[bytes]", _trial().said.match(table, start))  # it matches nothing, too
        ids, piece_chars, text = match.groups()
        token_ids = _counts(ids)
        check_text(token_ids, _counts(piece_chars), _read_string(text) if text else "")
        said = match[0], token_ids
        if token_ids:
            self._said[who] = said
        return said


def _counts(array: bytes | None) -> tuple[int, ...]:
    return _read_counts(array.replace(b",\n]", b"\n]")) if array else ()


@cache
def _trial() -> _TrialLayout:
    fields = _fields(TrialRecord)
    names = [field.name for field in fields]
    start, end = names.index(_SAID[0]), names.index(_SAID[-1]) + 1
    return _TrialLayout(
        _pattern(fields[:start], start=r"\[\[trials\]\]"),
        _pattern(fields[start:end]),
        _pattern(fields[end:], end=r"\n*+"),
    )


@cache
def _quality() -> re.Pattern[bytes]:
    return _pattern(_fields(QualityRecord), ("kld_mean", "top1"), start=r"\[\[quality\]\]", end=r"\n*+")


def _fields(record: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    return cast("inspect.StructType", inspect.type_info(record)).fields


def _pattern(
    fields: Iterable[inspect.Field], required: Container[str] = (), *, start: str = "", end: str = ""
) -> re.Pattern[bytes]:
    lines = [_line(field, required) for field in fields if field.name not in _OF_OTHERS]
    return re.compile(f"{start}{''.join(lines)}{end}".encode())


def _line(field: inspect.Field, required: Container[str]) -> str:
    group = f"?P<{field.name}>" if field.name in _NEEDED + _SAID else "?:"
    line = rf"\n{field.name}\ =\ ({group}{_spelling(field.type)})"
    return line if field.required or field.name in required else f"(?:{line})?+"


def _spelling(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.UnionType):  # with None, which is not written
        return "|".join(_spelling(each) for each in kind.types if not isinstance(each, inspect.NoneType))
    if isinstance(kind, inspect.EnumType):
        return "|".join(f'"{re.escape(each.value)}"' for each in kind.cls)
    if isinstance(kind, inspect.VarTupleType):
        return _STRINGS if isinstance(kind.item_type, inspect.StrType) else _COUNTS
    return _SPELLINGS[type(kind)]
