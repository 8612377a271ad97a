"""`tuibench compare`: methods and sessions side by side. Needs no model library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tuibench.cli import OK
from tuibench.cli.arguments import UsageError
from tuibench.cli.compared import compared
from tuibench.cli.result_table import fitted, headed, paragraphs, terminal_columns
from tuibench.cli.stored import open_session
from tuibench.core import format as fmt
from tuibench.core.present.columns import comparison_columns, constants, filled, varying
from tuibench.core.present.machine_lines import machine_lines
from tuibench.core.present.sweep_lines import machine_map_lines, sweep_lines
from tuibench.core.present.verdict_lines import headlines, recommendation_lines, verdict_lines
from tuibench.core.results.changes import change_lines
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.peers import apart
from tuibench.methods import peer_methods
from tuibench.store.export.formats import exported

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_GIVEN_UP = (
    "reference", "itl_p99_ns", "prefill_tps", "load_ns", "perplexity", "itl_p50_ns", "observer", "digest", "sampling",
    "tuibench", "kld", "bytes_per_token", "artifact_bytes", "text", "decode_tps", "step", "trials", "ttft_ns",
    "acceptance_rate", "prompt", "cpu", "step", "mbu", "model", "cpus", "tokens_per_step", "pareto", "top1",
    "peak_rss_bytes", "yardstick",
)  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Print the comparison; return what became of the speed if a regression was looked for."""
    opened = [[open_session(name) for name in side] for side in _sides(options)]
    found = compared([each for side in opened for each in side], options.yardstick)
    comparison = found.comparison
    if options.fail_on_regression is not None and found.other_tasks:
        raise UsageError(fmt.printable(f"{'; '.join(found.other_tasks)}. Such speeds tell nothing of a regression"))
    if options.fail_on_regression is not None and any(run.shape is not None for run in comparison.runs):
        raise UsageError("--fail-on-regression judges sessions of one shape, and one of these is a sweep")
    if options.fail_on_regression is not None and len(comparison.runs) > sum(map(len, opened)):
        raise UsageError("--fail-on-regression judges sessions of one machine, and one of these is of several")
    if options.base and any(len({path for path, _ in side}) < len(side) for side in opened):
        raise UsageError("a session is named twice on one side: it would count as two that agree")
    for warning in found.warnings:
        print(fmt.printable(f"tuibench: {warning}"), file=sys.stderr)
    whole = _table(comparison) if options.format == "table" else exported(comparison, options.format).decode()
    print(whole.rstrip("\n"))
    if options.fail_on_regression is None:
        return OK
    from tuibench.cli.regression import judged  # noqa: PLC0415 - only here

    return judged(comparison, len(opened[0]), options)


def _sides(options: argparse.Namespace) -> tuple[Sequence[str], Sequence[str]]:
    """Return the sessions before and after, as they were named."""
    base, new = options.base, options.new
    if bool(base) != bool(new):
        raise UsageError("--base and --new go together: name the sessions of both builds")
    if base and options.sessions:
        raise UsageError("name sessions either after --base and --new, or by themselves, the first being the yardstick")
    if not base:
        base, new = options.sessions[:1], options.sessions[1:]
    if not base:
        raise UsageError("which sessions? `tuibench compare NAME …`; `tuibench sessions` lists them")
    if options.fail_on_regression is None:
        if options.strict or options.run_noise is not None:
            raise UsageError("--strict and --run-noise go with --fail-on-regression PCT")
    elif not new:
        raise UsageError("--fail-on-regression compares sessions: name at least two")
    return base, new


def _table(comparison: Comparison) -> str:
    ours, theirs = apart(comparison.rows, peer_methods())
    rows = (*ours, *theirs)
    columns = filled(comparison_columns(comparison), comparison, rows)
    common = [f"{heading}: {text}" for heading, text in constants(columns, comparison, rows).items()]
    lines = fitted(varying(columns, comparison, rows), comparison, rows, given_up=_GIVEN_UP)
    table = headed(lines, len(ours), len(theirs))
    swept = sweep_lines(comparison, width=terminal_columns())
    parts = [headlines(comparison), change_lines(comparison), *swept, common, table]
    for number, run in enumerate(comparison.runs):
        if swept:  # a sentence for each method under each shape would bury the rest
            break
        label = [fmt.printable_line(run.label)] if len(comparison.runs) > 1 else []
        parts += [[*label, *verdict_lines(comparison, number)], machine_lines(comparison, number)]
    last = [] if swept else [recommendation_lines(comparison), *machine_map_lines(comparison, width=terminal_columns())]
    return "\n".join(paragraphs([*parts, *last]))
