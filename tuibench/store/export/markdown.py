"""Markdown: what a pull request or a report needs, constant columns told once above the table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tuibench.core.format import printable
from tuibench.core.present.columns import METHOD, Column, cells, comparison_columns, constants, filled, varying
from tuibench.core.present.detail_columns import depth_columns, depth_rows
from tuibench.core.present.machine_lines import machine_lines
from tuibench.core.present.report_lines import origin_line
from tuibench.core.present.sweep_lines import (
    LEGEND,
    UNSURE,
    WON,
    MapCell,
    impossible_lines,
    map_sentences,
    sweep_maps,
)
from tuibench.core.present.verdict_lines import label_before, verdict_lines
from tuibench.core.results.changes import change_lines
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.evidence import Grade
from tuibench.core.results.peers import HEADING, apart
from tuibench.core.results.row import Row
from tuibench.core.results.sweep import sweep_runs
from tuibench.core.results.verdict import recommend
from tuibench.methods import peer_methods

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~])")


def as_markdown(comparison: Comparison) -> str:
    """Return a comparison as a Markdown table with its verdicts."""
    columns = filled(comparison_columns(comparison), comparison, comparison.rows)
    shown = varying(columns, comparison, comparison.rows)
    common = constants(columns, comparison, comparison.rows)
    swept = sweep_runs(comparison)
    parts: list[str] = []
    for number in range(len(comparison.runs)):
        parts += [_headline(comparison, number), ""]
        same = number and swept  # when and where is the same for all shapes
        if (origin := origin_line(comparison, number)) and not same:
            parts += [escaped(origin), ""]
    parts += _sweep(comparison)
    if changed := _items(change_lines(comparison)):
        parts += [*changed, ""]
    if common:
        parts += [*_items(f"{heading}: {text}" for heading, text in common.items()), ""]
    parts += _table(shown, comparison, comparison.rows)
    if positions := depth_rows(comparison):
        parts += ["", *_table(depth_columns(comparison), comparison, positions)]
    for number, run in enumerate(comparison.runs):
        if swept:  # a sentence for each method under each shape would bury the rest
            break
        label = [f"**{escaped(run.label)}**", ""] if len(comparison.runs) > 1 else []
        parts += ["", *label, *_items(recommend(comparison, number).details)]
        parts += _items(verdict_lines(comparison, number))
        machine = machine_lines(comparison, number)
        parts += [*([""] if machine else []), *_items(machine)]
    return "\n".join(parts) + "\n"


def _sweep(comparison: Comparison) -> list[str]:
    """Return what changes where, and who wins where: a table for each figure; nothing of one shape on one machine."""
    maps = sweep_maps(comparison)
    parts = _items(map_sentences(comparison)) if maps else []
    for found in maps:
        rows = [["", *found.methods], *([label, *map(_won, cells)] for label, cells in found.rows)]
        lines = [f"| {' | '.join(_escaped(row))} |" for row in rows]
        rule = f"| :-- |{' --: |' * len(found.methods)}"
        parts += ["", f"**{escaped(found.title)}**", "", lines[0], rule, *lines[1:]]
    return [*parts, "", escaped(LEGEND), "", *_items(impossible_lines(maps)), ""] if maps else []


def _won(cell: MapCell) -> str:
    return f"{cell.text} {WON if cell.sure else UNSURE}" if cell.best else cell.text


def _headline(comparison: Comparison, run: int) -> str:
    """Return what to take, in bold where it is sure."""
    found = recommend(comparison, run)
    headline = escaped(f"{label_before(comparison, run)}{found.headline}")
    return f"**{headline}**" if found.grade is Grade.TAKE else headline


def _table(columns: Sequence[Column], comparison: Comparison, rows: Sequence[Row]) -> list[str]:
    ours, theirs = apart(rows, peer_methods())
    heading, *lines = cells(columns, comparison, (*ours, *theirs), short=frozenset())
    if ours and theirs:
        at = next(number for number, column in enumerate(columns) if column is METHOD)
        lines.insert(len(ours), [HEADING if number == at else "" for number in range(len(columns))])
    rule = [":--" if column.left else "--:" for column in columns]
    return [f"| {' | '.join(line)} |" for line in (_escaped(heading), rule, *map(_escaped, lines))]


def _items(lines: Iterable[str]) -> list[str]:
    return [f"- {escaped(line)}" for line in lines]


def _escaped(line: Sequence[str]) -> list[str]:
    return [escaped(cell) for cell in line]


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))
