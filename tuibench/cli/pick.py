"""`tuibench pick`: the fastest method that keeps the limits, with no more measuring than it takes to know it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from tuibench.cli import CANNOT_TELL, INTERRUPTED, OK, SOME_FAILED
from tuibench.cli.arguments import UsageError
from tuibench.cli.result_table import fitted, paragraphs
from tuibench.cli.resume import resumed_run
from tuibench.cli.run import measure, tell_session
from tuibench.cli.run_settings import run_spec
from tuibench.cli.temporary_cache import writable_cache
from tuibench.core.format import printable
from tuibench.core.present.answer_lines import answer_lines
from tuibench.core.present.columns import LADDER
from tuibench.core.results.comparison import compare
from tuibench.core.results.search import Answer, next_step
from tuibench.core.run.limits import SEARCH_NEW_TOKENS, Limits
from tuibench.methods import exact_methods, ladder_parents
from tuibench.store.export.facts import measured_run

if TYPE_CHECKING:
    import argparse

    from tuibench.core.run.spec import RunSpec
    from tuibench.core.run.state import RunState
    from tuibench.measure.run.measurement import Measurement
    from tuibench.measure.run.resume_offer import ResumedRun


def run(options: argparse.Namespace) -> int:
    """Search; print the answer on standard output, the session's path last on standard error."""
    with writable_cache():
        resumed = resumed_run(options) if options.resume is not None else None
        state, measurement = measure(_spec(options, resumed), options, resumed)
    if state.cancelled:
        tell_session(state, measurement, "pick")
        return INTERRUPTED
    return _report(options.format, state, measurement)


def _spec(options: argparse.Namespace, resumed: ResumedRun | None) -> RunSpec:
    if resumed is not None:
        if resumed.spec.limits is None:
            raise UsageError("that session is not of a search: `tuibench run --resume` goes on with it")
        return resumed.spec
    limits = Limits(
        max_kld=options.max_kld if options.quality else None,
        max_rss_bytes=options.max_rss,
        min_decode_tps=options.min_decode,
        max_ttft_ns=options.max_ttft,
    )
    if options.max_new_tokens is None:
        options.max_new_tokens = (SEARCH_NEW_TOKENS,)
    return msgspec.structs.replace(run_spec(options), n_trials=1, limits=limits)


def _report(output: str, state: RunState, measurement: Measurement) -> int:
    session = measurement.session()
    limits = session.header.settings.limits or Limits()
    comparison = compare([measured_run(session)], parents=ladder_parents(), exact=exact_methods())
    given_up = {row.method for row in comparison.rows if row.failure}
    answer = next_step(comparison, limits, given_up=given_up)
    if not isinstance(answer, Answer):  # the user skipped a method that had to be measured
        answer = Answer(None, ("the search was ended before it was over",), out={})
    if output == "table":
        table = fitted(LADDER, comparison, comparison.rows)
        print("\n".join(paragraphs((answer_lines(comparison, answer, limits), table))))
    else:
        told = {**msgspec.to_builtins(answer), "certain": answer.method is not None and not answer.doubts}
        print(printable(json.dumps(told, ensure_ascii=False)))
    tell_session(state, measurement, "pick")
    if answer.method is None:
        return SOME_FAILED
    return CANNOT_TELL if answer.doubts else OK
