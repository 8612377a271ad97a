"""`tuibench compare`: methods and sessions side by side. Needs no model library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tuibench.cli import OK, REGRESSED
from tuibench.cli.arguments import UsageError
from tuibench.cli.result_table import fitted, paragraphs
from tuibench.cli.sessions import open_session
from tuibench.core import format as fmt
from tuibench.core.changes import change_lines
from tuibench.core.columns import comparison_columns, constants, filled, varying
from tuibench.core.comparison import Comparison, UnknownBaselineError
from tuibench.core.machine_lines import machine_lines
from tuibench.core.regression import regressions
from tuibench.core.verdict import headlines, recommendation_lines, verdict_lines
from tuibench.store.export.benchstat import as_benchstat
from tuibench.store.export.csv_text import as_csv
from tuibench.store.export.json_text import as_json
from tuibench.store.export.markdown import as_markdown
from tuibench.store.side_by_side import SideBySide, side_by_side

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from tuibench.store.schema import Session

_GIVEN_UP = (
    "itl_p99_ns", "prefill_tps", "load_ns", "perplexity", "itl_p50_ns", "observer", "digest", "sampling", "tuibench",
    "kld", "bytes_per_token", "artifact_bytes", "text", "decode_tps", "step", "trials", "ttft_ns", "acceptance_rate",
    "prompt", "cpu", "step", "mbu", "model", "cpus", "tokens_per_step", "pareto", "top1", "peak_rss_bytes", "baseline",
)  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Print the comparison; return `REGRESSED` if a regression was looked for and found."""
    if options.fail_on_regression is not None and len(options.sessions) == 1:
        raise UsageError("--fail-on-regression compares with the first session: name at least two")
    found = compared([open_session(name) for name in options.sessions], options.baseline)
    comparison = found.comparison
    for warning in found.warnings:
        print(fmt.printable(f"tuibench: {warning}"), file=sys.stderr)
    text = {
        "table": _table,
        "md": as_markdown,
        "csv": as_csv,
        "json": as_json,
        "benchstat": as_benchstat,
    }[options.format](comparison)
    print(text.rstrip("\n"))
    return OK if options.fail_on_regression is None else _judge(comparison, options.fail_on_regression)


def compared(opened: Sequence[tuple[Path, Session]], baseline: str | None = None) -> SideBySide:
    """Return the comparison of stored sessions.

    Raises:
        UsageError: None of them measured the baseline.
    """
    try:
        return side_by_side(opened, baseline)
    except UnknownBaselineError as error:
        raise UsageError(fmt.printable(str(error))) from error


def _table(comparison: Comparison) -> str:
    rows = comparison.rows
    columns = filled(comparison_columns(comparison), comparison, rows)
    common = [f"{heading}: {text}" for heading, text in constants(columns, comparison, rows).items()]
    table = fitted(varying(columns, comparison, rows), comparison, rows, given_up=_GIVEN_UP)
    parts = [headlines(comparison), change_lines(comparison), common, table]
    for number, run in enumerate(comparison.runs):
        label = [fmt.printable_line(run.label)] if len(comparison.runs) > 1 else []
        parts += [[*label, *verdict_lines(comparison, number)], machine_lines(comparison, number)]
    return "\n".join(paragraphs([*parts, recommendation_lines(comparison)]))


def _judge(comparison: Comparison, allowed: float) -> int:
    found = regressions(comparison, allowed)
    first = comparison.runs[0].label
    for label, method in found.missing:
        print(fmt.printable(f"tuibench: {method} was not measured in {label}"), file=sys.stderr)
    for rows, what in ((found.unsure, "slower, but too few trials to tell"), (found.slower, "regression")):
        for row in rows:
            label = comparison.runs[row.run].label
            text = f"tuibench: {what}: {row.method} in {label} runs at {fmt.gain(row.against_first)} of {first}"
            print(fmt.printable(text), file=sys.stderr)
    return REGRESSED if found.slower else OK
