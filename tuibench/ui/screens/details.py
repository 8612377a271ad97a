"""Why a method is fast or slow, what it ran on, why it failed, the end of its log."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tuibench.core import format as fmt
from tuibench.core.metrics import ACCEPTANCE, DECODE, OUTPUT, PREFILL, TOKENS_PER_STEP, TPOT, TTFT
from tuibench.core.record import TrialRecord
from tuibench.core.roofline import roofline
from tuibench.core.spec import Method
from tuibench.core.state import MethodState, RunState
from tuibench.core.stats import estimate
from tuibench.ui.describe import failure_text
from tuibench.ui.keymap import bindings

_LABEL = 14
_BAR = 24

Rows = list[tuple[str, str]]


class DetailsScreen(ModalScreen[None]):
    """All that is known of a method: its figures over all trials, the rest of its latest trial or failure."""

    BINDINGS = bindings("dialog")

    def __init__(self, run: RunState, method: MethodState, about: Method | None = None) -> None:
        super().__init__()
        self._run = run
        self._method = method
        self._about = about

    def compose(self) -> ComposeResult:
        """Lay out one scrolling column."""
        with VerticalScroll(id="dialog") as column:
            column.border_title = fmt.printable(self._method.method)
            column.border_subtitle = "esc closes"
            yield Static(Content("\n\n").join(self._parts()))

    def _parts(self) -> Iterable[Content]:
        """Yield the sections that have something to say."""
        method = self._method
        record = method.failure or method.records[-1]
        if record.failed:
            yield Content.styled(failure_text(record), "$error")
        if self._about is not None:
            yield Content.styled(fmt.printable(self._about.explanation), "$muted")
        sections = {
            "Speed": self._speed(),
            "Where the time goes": _phases(record, method.records),
            "Why": self._why(),
            "Memory": _memory(record, method.records),
            "Closeness to the reference": self._quality(),
            "Reasons to doubt": [("", fmt.printable(reason)) for reason in dict.fromkeys(self._doubts())],
        }
        for title, rows in sections.items():
            if rows:
                lines = [Content.assemble((f"{label:<{_LABEL}} ", "$muted"), text) for label, text in rows]
                yield Content("\n").join([Content.styled(title, "bold $accent"), *lines])
        if record.log_tail:
            heading = Content.styled("End of the worker's log", "bold $accent")
            yield Content("\n").join([heading, Content(fmt.printable(record.log_tail))])

    def _speed(self) -> Rows:
        rows = []
        for metric in (DECODE, TTFT, TPOT, PREFILL, OUTPUT, ACCEPTANCE, TOKENS_PER_STEP):
            values = [value for record in self._method.measured if (value := metric.compute(record)) is not None]
            found = estimate(values)
            if found is not None:
                spread = f"   range {fmt.metric(metric, min(values))} – {fmt.metric(metric, max(values))}"
                shown = f"{fmt.metric(metric, found.median):<12}"
                rows.append((metric.short, f"{shown}{spread if len(values) > 1 else ''}".rstrip()))
        return rows

    def _why(self) -> Rows:
        """Return the roofline's sentence, and the facts that the engine gave: operators, kernels, libraries."""
        rows: Rows = []
        run = self._run
        if run.machine is not None and run.n_threads is not None:
            found = roofline(self._method.records, run.machine, run.n_threads)
            if found is not None:
                rows.append(("MBU", f"{100 * found.mbu:.0f} %   {fmt.size(found.bytes_per_token)} a token"))
                rows.append(("", found.sentence))
        facts = next((record.facts for record in reversed(self._method.records) if record.facts), ())
        return rows + [_fact(fact) for fact in facts]

    def _quality(self) -> Rows:
        quality = self._method.quality
        if quality is None:
            return []
        if quality.failed:
            return [("failed", fmt.printable(quality.failure_message or ""))]
        rows = [
            ("KLD", f"{fmt.divergence(quality.kld_mean, quality.kld_mean_se)} nats a token"),
            ("KLD p99", fmt.divergence(quality.kld_p99)),
            ("top-1", fmt.share(quality.top1)),
            ("perplexity", fmt.MISSING if quality.perplexity is None else f"{quality.perplexity:.2f}"),
            ("text", f"{fmt.printable(quality.eval_name)}, {fmt.count(quality.n_scored)} positions"),
        ]
        return [(label, text) for label, text in rows if text != fmt.MISSING]

    def _doubts(self) -> Iterable[str]:
        return (reason for record in self._method.measured for reason in record.validity)

    def action_close(self) -> None:
        """Close."""
        self.dismiss()


def _phases(record: TrialRecord, records: Iterable[TrialRecord]) -> Rows:
    """Return how long each phase took, as bars; loading is told once per worker, in another trial perhaps."""
    once = next((each for each in records if each.load_ns is not None), record)
    decode_ns = sum(record.step_ns) or None
    durations = {
        "prepare": once.prepare_ns,
        "load": once.load_ns,
        "tokenise": record.tokenise_ns,
        "prefill": record.prefill_ns,
        "decode": decode_ns,
    }
    known = {name: ns for name, ns in durations.items() if ns is not None}
    longest = max(known.values(), default=0)
    return [
        (name, f"{fmt.duration(ns):>8}  {'━' * round(_BAR * ns / longest)}") for name, ns in known.items() if longest
    ]


def _memory(record: TrialRecord, records: Iterable[TrialRecord]) -> Rows:
    once = next((each for each in records if each.artifact_bytes is not None), record)
    sizes = {
        "peak RSS": record.peak_rss_bytes,
        "of it private": record.rss_anon_bytes,
        "of it mapped": record.rss_file_bytes,
        "on disk": once.artifact_bytes,
        "read a token": once.weight_bytes,
    }
    return [(name, fmt.size(n_bytes)) for name, n_bytes in sizes.items() if n_bytes is not None]


def _fact(fact: str) -> tuple[str, str]:
    name, _, value = fmt.printable(fact).partition(": ")
    return name, value
