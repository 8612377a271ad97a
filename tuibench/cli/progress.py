"""How far a headless run is: a bar with an ETA on a terminal, plain lines elsewhere. All on standard error."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Protocol

from tuibench.core import format as fmt
from tuibench.core.results.metrics import DECODE, TTFT
from tuibench.core.run.eta import run_remaining_ns
from tuibench.core.run.record import QualityRecord
from tuibench.core.run.run_events import (
    Noticed,
    QualityEnded,
    QualityStarted,
    RecordsRestored,
    RunEvent,
    TrialEnded,
    TrialObserved,
    TrialStarted,
)
from tuibench.core.run.state import RunState
from tuibench.core.run.trial_state import TrialState

if TYPE_CHECKING:
    import rich.progress


class RunProgress(Protocol):
    """Shows a run to somebody who waits for it."""

    def update(self, state: RunState, event: RunEvent) -> None:
        """Show the state after an event."""


class PlainProgress:
    """One line when a trial starts and one when it ends: what a log wants."""

    def update(self, state: RunState, event: RunEvent) -> None:
        """Print what a log should hold."""
        match event:
            case TrialStarted(method=method, warmup=warmup):
                number = f"warm-up of {method}" if warmup else f"trial {state.n_done + 1}/{state.n_turns}: {method}"
                self._print(number)
            case TrialEnded(record=record) if record.failed:
                self._print(f"  failed: {record.failure_kind}: {record.failure_message}")
            case TrialEnded(record=record) if not record.warmup:
                ttft, decode = TTFT.compute(record), DECODE.compute(record)
                left_ns = run_remaining_ns(state)
                left = "" if left_ns is None or state.n_done == state.n_turns else f"; {fmt.clock(left_ns / 1e9)} left"
                tokens = fmt.counted(record.n_gen, "token")
                self._print(f"  TTFT {fmt.duration(ttft)}, decode {fmt.rate(decode)}, {tokens}{left}")
            case RecordsRestored(trials=trials):
                n_before = sum(not trial.warmup for trial in trials)
                self._print(f"{fmt.counted(n_before, 'trial')} measured before")
            case QualityStarted(method=method):
                self._print(f"quality: {method}")
            case QualityEnded(record=record):
                self._print(f"  {_quality(record)}")
            case Noticed(text=text):
                self._print(text)
            case _:
                pass

    def _print(self, text: str) -> None:
        with suppress(OSError):  # the terminal is gone, or the log's disk full: the session is what matters
            print(fmt.printable(text), file=sys.stderr, flush=True)


class BarProgress:
    """One bar for the whole run, with what is going on and the time that is left."""

    def __init__(self, bar: rich.progress.Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=None, eta="")

    def update(self, state: RunState, event: RunEvent) -> None:
        """Move the bar."""
        match event:
            case TrialObserved(method=method):
                trial = state.methods[method].trial
                if trial is None:
                    return
                if state.methods[method].scoring:
                    self._show(state, f"{method} {_scoring(trial)}", state.n_done)
                    return
                share = 0 if trial.warmup else trial.n_gen / trial.n_expected
                what = "warm-up" if trial.warmup and trial.requested_ns else trial.phase.value
                speed = f" {fmt.rate(trial.decode_tps)}" if trial.decode_tps else ""
                self._show(state, f"{method} {what}{speed}", state.n_done + share)
            case TrialEnded(record=record):
                if record.failed:
                    self._note(f"{record.method}: {record.failure_kind}: {record.failure_message}")
                self._show(state, record.method, state.n_done)
            case QualityEnded(record=quality) if quality.failed:
                self._note(f"{quality.method}: {_quality(quality)}")
            case Noticed(text=text):
                self._note(text)
            case _:
                pass

    def _show(self, state: RunState, what: str, completed: float) -> None:
        left_ns = run_remaining_ns(state)
        eta = "" if left_ns is None else f"{fmt.clock(left_ns / 1e9)} left"
        description = fmt.printable(what)
        self._bar.update(self._task, description=description, total=state.n_turns, completed=completed, eta=eta)

    def _note(self, text: str) -> None:
        with suppress(OSError):
            self._bar.console.print(fmt.printable(text), markup=False, highlight=False)


def _scoring(trial: TrialState) -> str:
    progress = trial.progress
    if progress is None or not progress.total:
        return trial.phase.value
    return f"{progress.label} {fmt.percent(progress.done / progress.total)}"


def _quality(record: QualityRecord) -> str:
    if record.failed:
        return f"quality failed: {record.failure_kind}: {record.failure_message}"
    kld = fmt.divergence(record.kld_mean, record.kld_mean_se)
    scored = fmt.counted(record.n_scored, "position")
    return f"perplexity {record.perplexity:.2f}, KLD {kld}, top-1 {fmt.share(record.top1)}, {scored}"


class _OpenBar(AbstractContextManager[RunProgress]):
    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - only for somebody who watches
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

        self._bar = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[eta]}", markup=False),
            console=Console(stderr=True),
            refresh_per_second=4,
            transient=True,
        )

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return BarProgress(self._bar)

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the terminal is gone
            self._bar.stop()


def open_progress() -> AbstractContextManager[RunProgress]:
    """Return what fits standard error: a bar on a terminal, else lines."""
    return _OpenBar() if sys.stderr.isatty() else nullcontext(PlainProgress())
