"""Why a method is fast or slow, what it ran on, why it failed, the end of its log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.screen import ModalScreen

from tuibench.core import format as fmt
from tuibench.core.present.columns import METHOD, Column
from tuibench.core.present.detail_columns import PEAKS, QUALITY, SHARES, by_depth, scored_on
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import run_of_state
from tuibench.core.results.metrics import ACCEPTANCE, DECODE, OUTPUT, PREFILL, TOKENS_PER_STEP, TPOT, TTFT
from tuibench.core.results.roofline import roofline
from tuibench.core.results.row import REFERENCE
from tuibench.core.run.host import host_of
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.spec import Method
from tuibench.core.run.state import MethodState, RunState
from tuibench.core.statistics.stats import estimate
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.text import memory_fit
from tuibench.ui.text.describe import failure_text
from tuibench.ui.widgets.fact_sheet import FactSheet, Part

if TYPE_CHECKING:
    from tuibench.models.memory_needs import Fit

_BAR = 24
# Where the heading of a column says too little by itself.
_LABELS = {"kld_median": "KLD median", "kld_p99": "KLD p99"}

Rows = list[tuple[str, str]]


class DetailsScreen(ModalScreen[None]):
    """All that is known of a method: its figures over all trials, the rest of its latest trial or failure."""

    BINDINGS = [*bindings("details"), *bindings("list")]
    BINDING_GROUP_TITLE = "Details"

    column = query_one("#dialog", VerticalScroll)
    sheet = query_one(FactSheet)

    def __init__(
        self,
        run: RunState,
        method: str,
        known: Mapping[str, Method],
        whys: Mapping[str, str] | None = None,
        fits: Mapping[str, Fit] = MappingProxyType({}),
    ) -> None:
        """Say what to tell of.

        Args:
            run: As far as it is.
            method: The one to begin with; it has a finished trial.
            known: What is installed here.
            whys: Why methods are not the answer of a search that is over.
            fits: What methods were expected to take of memory.
        """
        super().__init__()
        self._fits = fits
        self._run = run
        self._method = run.methods[method]
        self._known = known
        self._whys = whys or {}
        # No gains are shown: no ladder is needed.
        self._comparison = compare([run_of_state(run)], parents={})

    def compose(self) -> ComposeResult:
        """Lay out one scrolling column."""
        with VerticalScroll(id="dialog"):
            yield FactSheet()

    def on_mount(self) -> None:
        """Tell of the first method."""
        self.column.border_subtitle = "←→ other methods · esc closes" if len(self._told) > 1 else "esc closes"
        self._show()

    @property
    def _told(self) -> list[MethodState]:
        """The methods that there is something to tell of."""
        return [method for method in self._run.methods.values() if method.records]

    def _show(self) -> None:
        self.column.border_title = fmt.printable(self._method.method)
        self.sheet.show(self._parts())

    def _parts(self) -> Iterable[Part]:
        """Yield the sections that have something to say, the longest last."""
        method = self._method
        record = method.failure or method.records[-1]
        if record.failed:
            yield Content.styled(failure_text(record), "$error")
        about = self._known.get(method.method)
        if about is not None:
            yield Content.styled(fmt.printable(about.explanation), "$muted")
        why = self._whys.get(method.method)
        sections = {
            "Why it is not the answer": [("", why)] if why else [],
            "Speed": self._speed(),
            "Where the time goes": _phases(record, method.records),
            "Why it is not faster": self._why(),
            "Closeness to the reference": self._quality(),
            "Memory: peak RSS at the end of each phase": self._cells(PEAKS),
            "Memory: what it is made of": self._memory(),
            "Weights": self._weights(),
            "Reasons to doubt": [("", fmt.printable(reason)) for reason in dict.fromkeys(self._doubts())],
            "How it is computed": self._facts(),
        }
        yield from ((title, rows) for title, rows in sections.items() if rows)
        if record.log_tail:
            yield "End of the worker's log", ()
            yield Content(fmt.printable(record.log_tail))

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
        """Return how near decoding comes to the machine's limit."""
        run, host = self._run, host_of(self._method.method)
        there = run.hosts.get(host) if host else None
        machine, n_threads = (there.machine, there.n_threads) if there else (run.machine, run.n_threads)
        if machine is None or (host and not there):
            return []
        found = roofline(self._method.records, machine, n_threads)
        if found is None:
            return []
        return [
            ("MBU", found.sentence),
            ("", f"a token reads {fmt.size(found.bytes_per_token)}, KV-cache included"),
        ]

    def _facts(self) -> Rows:
        """Return what the engine told: operators, kernels, libraries."""
        facts = next((record.facts for record in reversed(self._method.records) if record.facts), ())
        return [_fact(fact) for fact in facts]

    def _quality(self) -> Rows:
        quality = self._method.quality
        if quality is None and not self._method.measured:
            return []
        rows = self._cells(QUALITY)
        if quality is None:
            return rows
        if quality.failed:
            return [*rows, ("not scored", fmt.printable(quality.failure_message or ""))]
        positions = [(f"KLD {name}", told) for name, told in by_depth(quality)]
        return [*rows, *positions, ("scored on", scored_on(quality))]

    @property
    def _told_once(self) -> TrialRecord:
        records = self._method.records
        return next((each for each in records if each.artifact_bytes is not None), records[-1])

    def _memory(self) -> Rows:
        """Return what of the memory is whose, how the KV-cache grows, and what was expected."""
        once = self._told_once
        rows = self._cells(SHARES)
        if once.kv_cache is not None and once.context_window is not None:
            whole = fmt.size(once.kv_cache.at(once.context_window))
            rows.append(("", f"{whole} at {once.context_window} tokens, the model's longest text"))
        if (fit := self._fits.get(self._method.method)) is not None:
            rows.append(("expected", memory_fit.in_words(fit)))
        return rows

    def _weights(self) -> Rows:
        sizes = {"on disk": self._told_once.artifact_bytes, "read for a token": self._told_once.weight_bytes}
        return [(name, fmt.size(n_bytes)) for name, n_bytes in sizes.items() if n_bytes is not None]

    def _cells(self, columns: Iterable[Column]) -> Rows:
        """Return a table's row, each of its cells as a line."""
        comparison, method = self._comparison, self._method.method
        row = next(row for row in comparison.rows if row.method == method)
        found = {column: column.cell(comparison, row) for column in columns if column is not METHOD}
        return [self._named(column, text) for column, text in found.items() if text != fmt.MISSING]

    def _named(self, column: Column, text: str) -> tuple[str, str]:
        if column.id == "agreed" and self._method.method == REFERENCE:
            return "text", "the others are held against it"
        return _LABELS.get(column.id, column.heading), text

    def _doubts(self) -> Iterable[str]:
        return (reason for record in self._method.measured for reason in record.validity)

    def action_next_method(self, step: int) -> None:
        """Tell of another method, from its beginning."""
        told = self._told
        self._method = told[(told.index(self._method) + step) % len(told)]
        self._show()
        self.column.scroll_home(animate=False)

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
    bars = [
        (name, f"{fmt.duration(ns):>8}  {'━' * round(_BAR * ns / longest)}") for name, ns in known.items() if longest
    ]
    return bars + _sampling(record)


def _sampling(record: TrialRecord) -> Rows:
    """Return the time spent outside the model: picking tokens from its logits."""
    if record.sampling_ns is None or not record.n_gen:
        return []
    each = fmt.duration(round(record.sampling_ns / record.n_gen))
    return [("sampling", f"{fmt.duration(record.sampling_ns):>8}  {each} a token, counted in TTFT and decode")]


def _fact(fact: str) -> tuple[str, str]:
    name, _, value = fmt.printable(fact).partition(": ")
    return name, value
