"""Why a method failed, what it ran on, the end of its log."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tuibench.core import format as fmt
from tuibench.core.metrics import METRICS
from tuibench.core.record import TrialRecord
from tuibench.core.spec import Method
from tuibench.core.state import MethodState
from tuibench.ui.describe import failure_text
from tuibench.ui.keymap import bindings

_LABEL = 14


class DetailsScreen(ModalScreen[None]):
    """All that is stored of the latest trial, or of the latest failure."""

    BINDINGS = bindings("dialog")

    def __init__(self, method: MethodState, about: Method | None = None) -> None:
        super().__init__()
        self._method = method
        self._about = about

    def compose(self) -> ComposeResult:
        """Lay out one scrolling column."""
        record = self._method.failure or self._method.records[-1]
        with VerticalScroll(id="dialog") as column:
            column.border_title = fmt.printable(self._method.method)
            column.border_subtitle = "esc closes"
            yield Static(self._text(record))

    def _text(self, record: TrialRecord) -> Content:
        parts: list[Content] = []
        if record.failed:
            parts.append(Content.styled(failure_text(record), "$error"))
        trial = "warm-up" if record.warmup else f"trial {record.index + 1}"
        rows = [("trial", f"{trial}, {record.finished:%Y-%m-%d %H:%M:%S %Z}")]
        rows += [(metric.short, fmt.metric(metric, metric.compute(record))) for metric in METRICS]
        rows += [("tokens", f"{record.n_prompt or fmt.MISSING} prompt, {record.n_gen} generated")]
        rows += [_fact(fact) for fact in self._facts()]
        rows += [("doubt", fmt.printable(reason)) for reason in record.validity]
        parts.append(
            Content("\n").join(Content.assemble((f"{label:<{_LABEL}} ", "$muted"), text) for label, text in rows)
        )
        if record.log_tail:
            parts.append(Content.assemble(("end of the worker's log\n", "$muted"), fmt.printable(record.log_tail)))
        return Content("\n\n").join(parts)

    def _facts(self) -> tuple[str, ...]:
        """What decides the speed here is told once per worker, with the first trial it ran."""
        return next((record.facts for record in reversed(self._method.records) if record.facts), ())

    def action_close(self) -> None:
        """Close."""
        self.dismiss()


def _fact(fact: str) -> tuple[str, str]:
    name, _, value = fmt.printable(fact).partition(": ")
    return name, value
