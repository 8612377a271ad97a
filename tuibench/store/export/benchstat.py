"""Go's benchmark format, which `benchstat` compares (golang.org/design/14313-benchmark-format).

One line per measured trial. An operation is one decoded token after the first, so `ns/op` is TPOT; the other figures
have units of their own, whose meaning the `Unit` lines declare. The number after the last hyphen of a name is the
thread count, as Go writes its GOMAXPROCS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tuibench.core.format import printable
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.metrics import DECODE, PEAK_RSS, PREFILL, SIZE, TPOT, TTFT
from tuibench.core.results.verdict import recommend
from tuibench.core.run.record import TrialRecord

_UNITS = (
    (TPOT, "ns/op", ""),
    (DECODE, "tok/s", "better=higher"),
    (TTFT, "ttft-ns", "better=lower"),
    (PREFILL, "prefill-tok/s", "better=higher"),
    (PEAK_RSS, "peak-RSS-bytes", "better=lower"),
    (SIZE, "size-bytes", "better=lower assume=exact"),
)
_NO_NAME = re.compile(r"[^\w.=+:-]+")


def as_benchstat(comparison: Comparison) -> str:
    """Return every measured trial of all runs as lines that `benchstat` reads.

    Files of one run each compare with `benchstat before after`; of one file with several, `-col session` does.
    """
    lines = [f"Unit {unit} {meaning}" for _, unit, meaning in _UNITS if meaning]
    for number, run in enumerate(comparison.runs):
        found = recommend(comparison, number)
        lines += ["", f"# verdict: {found.headline}"]
        lines += [*_configuration(run, several=len(comparison.runs) > 1), *_results(run)]
    return "\n".join(lines) + "\n"


def _configuration(run: MeasuredRun, *, several: bool) -> Iterator[str]:
    """Yield `key: value` lines; keys are lower-case by construction, values must stay on their line.

    `benchstat` compares only what has all of them in common: what may differ between runs worth comparing is a comment.
    """
    remarks = {"tuibench"} if several else {"tuibench", "session"}
    for key, value in (("session", run.label), *run.facts.items()):
        yield f"{'# ' if key in remarks else ''}{key}: {' '.join(printable(value).split())}"


def _results(run: MeasuredRun) -> Iterator[str]:
    threads = run.facts.get("threads", "1")
    for record in run.trials:
        if not record.warmup and not record.failed and record.step_ns:
            yield _result(record, threads)


def _result(record: TrialRecord, threads: str) -> str:
    figures = ((metric.compute(record), unit) for metric, unit, _ in _UNITS)
    told = " ".join(f"{value:.10g} {unit}" for value, unit in figures if value is not None)
    return f"BenchmarkDecode/method={_NO_NAME.sub('_', record.method)}-{threads} {len(record.step_ns)} {told}"
