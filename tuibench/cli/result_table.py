"""The result of a run as plain text: the ladder's table and what it means, whether just measured or stored."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from tuibench.core import format as fmt
from tuibench.core.present.columns import LADDER, METHOD, Column, Table, cells, filled
from tuibench.core.present.detail_columns import MEMORY, QUALITY, depth_columns, depth_rows, scored_on
from tuibench.core.present.machine_lines import machine_lines
from tuibench.core.present.sweep_lines import machine_map_lines, sweep_lines
from tuibench.core.present.verdict_lines import headlines, recommendation_lines, verdict_lines
from tuibench.core.results.by_host import all_runs
from tuibench.core.results.comparison import Comparison, compare
from tuibench.core.results.peers import HEADING, apart, peer_sentence
from tuibench.core.results.row import REFERENCE, Row
from tuibench.methods import exact_methods, ladder_parents, peer_methods
from tuibench.store.export.json_text import as_json

if TYPE_CHECKING:
    from tuibench.core.run.state import RunState

_FALLBACK_SIZE = (100, 24)
"""Columns and lines where standard output is not a terminal and `COLUMNS` says nothing."""

# What is given up first in a narrow terminal: intervals before numbers, numbers that other commands show before those
# that decide. A column is first shortened, then, named again, left out.
_GIVEN_UP = (
    "total", "kld", "trials", "artifact_bytes", "step", "acceptance_rate", "ttft_ns", "total", "top1",
    "tokens_per_step", "peak_rss_bytes",
)  # fmt: skip

_QUALITY_GIVEN_UP = ("length", "kld_median", "delta_p_rms", "kld", "kld_p99", "delta_p", "agreed", "perplexity")
_MEMORY_GIVEN_UP = ("rss_file_bytes", "rss_anon_bytes")


def result_lines(state: RunState, *, width: int | None = None) -> list[str]:
    """Return what to take, the table's lines and, under it, what they mean.

    That is a sentence for each method, a drift if there was one, how near each method comes to the machine's limit,
    and the recommendation once more, with all remarks: its headline, on the first line, may have scrolled away. Of a
    sweep it is what to take under each shape, who wins where, and a map of each figure.

    Args:
        state: The run, as far as it went.
        width: Characters a line of the table may have; by default the terminal's.
    """
    comparison = _compared(state)
    if swept := sweep_lines(comparison, width=width or terminal_columns()):
        return paragraphs([headlines(comparison), *swept])
    peers = peer_methods()
    parts: list[Sequence[str]] = [headlines(comparison)]
    for run, measured in enumerate(comparison.runs):
        label = [fmt.printable_line(measured.label)] if len(comparison.runs) > 1 or measured.host else []
        against = peer_sentence(comparison, peers, run)
        parts += [
            [*label, *_ladder_table(comparison, run, peers, width)],
            verdict_lines(comparison, run),
            [against] if against else [],
            machine_lines(comparison, run),
        ]
    machines = machine_map_lines(comparison, width=width or terminal_columns())
    return paragraphs([*parts, recommendation_lines(comparison), *machines])


def _ladder_table(comparison: Comparison, run: int, peers: Collection[str], width: int | None) -> list[str]:
    """Return a run's table with peers, which are no rungs, under a heading of their own."""
    ours, theirs = apart(comparison.of_run(run), peers)
    return headed(fitted(LADDER, comparison, (*ours, *theirs), width=width), len(ours), len(theirs))


def headed(lines: list[str], n_ours: int, n_theirs: int) -> list[str]:
    """Return the lines of a table, whose first is its heading, with one more above the peers."""
    return lines if not (n_ours and n_theirs) else [*lines[: 1 + n_ours], "", HEADING, *lines[1 + n_ours :]]


def paragraphs(parts: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of all parts that have any, with an empty one between each two."""
    lines: list[str] = []
    for part in filter(None, parts):
        lines += [*([""] if lines else []), *part]
    return lines


def detail_lines(state: RunState, *, width: int | None = None) -> list[str]:
    """Return, for a stored result, how close each method is to the reference, and its memory phase by phase.

    Both on each machine: under all shapes quality is the same, and memory is told of the first.
    """
    comparison = _compared(state)
    firsts: dict[str | None, int] = {}
    for number, run in enumerate(comparison.runs):
        firsts.setdefault(run.host, number)
    lines: list[str] = []
    for host, number in firsts.items():
        found = _details(comparison, number, width)
        lines += ["", fmt.printable_line(host), *found] if host is not None and len(firsts) > 1 and found else found
    return lines


def _details(comparison: Comparison, run: int, width: int | None) -> list[str]:
    """Return the same of one machine, of which this is the first run."""
    rows, host = comparison.of_run(run), comparison.runs[run].host
    lines = []
    scored = next((row.quality for row in rows if row.quality and not row.quality.failed), None)
    if scored is not None:
        table = fitted(QUALITY, comparison, rows, given_up=_QUALITY_GIVEN_UP, width=width)
        lines += ["", f"closeness to {REFERENCE} on {scored_on(scored)}", *table]
    if positions := [row for row in depth_rows(comparison) if comparison.runs[row.run].host == host]:
        given_up = [column.id for column in reversed(depth_columns(comparison))]
        table = fitted(depth_columns(comparison), comparison, positions, given_up=given_up, width=width)
        lines += ["", "divergence by context position", *table]
    if len(filled(MEMORY, comparison, rows)) > 1:
        table = fitted(MEMORY, comparison, rows, given_up=_MEMORY_GIVEN_UP, width=width)
        lines += ["", "peak RSS at the end of each phase, private and mapped memory, KV-cache", *table]
    return lines


def result_json(state: RunState) -> str:
    """Return the result of a run as JSON, with where each method stands."""
    status = {name: method.status.value for name, method in state.methods.items()}
    return as_json(_compared(state), status)


def _compared(state: RunState) -> Comparison:
    return compare(all_runs(state), parents=ladder_parents(), exact=exact_methods())


def fitted(
    columns: Sequence[Column],
    comparison: Comparison,
    rows: Sequence[Row],
    *,
    given_up: Sequence[str] = _GIVEN_UP,
    width: int | None = None,
) -> list[str]:
    """Return a table's lines, without columns that have no value, narrowed until it fits."""
    room = terminal_columns() if width is None else width
    shown, short = filled(columns, comparison, rows), frozenset[str]()
    lines = _aligned_columns(shown, cells(shown, comparison, rows, short=short))
    for id_ in given_up:
        if _width(lines) <= room:
            break
        can_shorten = any(column.id == id_ and column.short for column in shown) and id_ not in short
        short |= {id_} if can_shorten else frozenset()
        shown = shown if can_shorten else tuple(column for column in shown if column.id != id_ or column is METHOD)
        lines = _aligned_columns(shown, cells(shown, comparison, rows, short=short))
    return lines


def terminal_columns() -> int:
    """Return how many characters a line of standard output holds."""
    return shutil.get_terminal_size(_FALLBACK_SIZE).columns


def _width(lines: Iterable[str]) -> int:
    return max(map(len, lines), default=0)


def _aligned_columns(columns: Sequence[Column], table: Table) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column.left else cell.rjust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ).rstrip()
        for row in table
    ]
