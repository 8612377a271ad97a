"""One method in a race: its text as it comes, everything else in the frame."""

from __future__ import annotations

from textual.reactive import var

from tuibench.core import format as fmt
from tuibench.core.state import MethodState, MethodStatus, RunState
from tuibench.ui import describe
from tuibench.ui.widgets.stream_text import StreamText


class RaceLane(StreamText):
    """Bound to the run of its screen; draws only what changed in its method."""

    run: var[RunState] = var(RunState, init=False)

    def __init__(self, method_id: str, series: int) -> None:
        super().__init__(classes=f"series-{series}")
        self.method_id = method_id
        self._shown: tuple[MethodState | None, MethodState | None] | None = None

    def on_mount(self) -> None:
        """Show the state that is there already."""
        self.watch_run()

    def watch_run(self) -> None:
        """Draw the new state unless it is other methods' news."""
        method = self.run.methods.get(self.method_id)
        reference = describe.text_reference(self.run)
        if not self.is_mounted or (
            self._shown is not None and self._shown[0] is method and self._shown[1] is reference
        ):
            return
        self._shown = (method, reference)
        stream = describe.stream_of(method) if method else None
        held_against = None if reference is None or reference is method else describe.stream_of(reference)
        differs_at = describe.first_difference(stream, held_against)
        self.show(stream, differs_at=differs_at)
        self.border_title = self._title(method)
        self.border_subtitle = self._subtitle(method, differs_at)
        self.set_class(method is not None and method.running, "-running")

    def _title(self, method: MethodState | None) -> str:
        mark = describe.MARKS[method.status] if method else ""
        return f"{mark} {fmt.printable(self.method_id)}"

    def _subtitle(self, method: MethodState | None, differs_at: int | None) -> str:
        if method is None or method.trial is None:
            return "not recorded"
        if method.status is MethodStatus.FAILED and method.failure is not None and method.failure.failure_kind:
            return method.failure.failure_kind.value
        trial = method.trial
        parts = [f"{trial.n_gen}/{trial.n_expected}"]
        if trial.ttft_ns is not None:
            parts.append(f"TTFT {fmt.duration(trial.ttft_ns)}")
        if trial.decode_tps is not None:
            parts.append(fmt.rate(trial.decode_tps))
        if differs_at is not None:
            parts.append(f"≠ at {differs_at + 1}")
        return " · ".join(parts)
