"""One method in a race: its text as it comes, everything else in the frame."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import var

from tuibench.core import format as fmt
from tuibench.core.run.state import MethodState, MethodStatus, RunState
from tuibench.ui.look.series import series_classes
from tuibench.ui.text import describe
from tuibench.ui.text.subtitle import write_subtitle
from tuibench.ui.widgets.stream_text import StreamText

_FRAME_WIDTH = 6
"""What the frame takes of the line that is written into it."""


class RaceLane(StreamText):
    """Bound to the run of its screen; draws only what changed in its method."""

    run: var[RunState] = var(RunState, init=False)

    def __init__(self, method_id: str, series: int) -> None:
        super().__init__()
        self.apply_colour(series)
        self.method_id = method_id
        self._differs: int | None = None
        self._shown: tuple[MethodState | None, MethodState | None] | None = None

    def apply_colour(self, series: int) -> None:
        """Show the lane in the colour with this number."""
        self.update_classes(series_classes(series), animate=False)

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
        users = describe.user_lines(method, self.scrollable_content_region.width)
        stream = describe.stream_of(method) if method and not users else None
        held_against = None if reference is None or reference is method else describe.stream_of(reference)
        differs_at = describe.first_difference(stream, held_against)
        self.show_note(Content("\n".join(users)) if users else self._reason(method) if stream is None else None)
        self.show(stream, differs_at=differs_at)
        self.border_title = self._title(method)
        self._differs = differs_at
        self._write_subtitle()
        self.set_class(method is not None and method.running, "-running")

    def on_resize(self) -> None:
        """Say as much as there is room for now."""
        self._write_subtitle()

    def _write_subtitle(self) -> None:
        write_subtitle(self, self._subtitle(self.run.methods.get(self.method_id), self._differs))

    def _title(self, method: MethodState | None) -> str:
        mark = describe.MARKS[method.status] if method else ""
        return f"{mark} {fmt.printable(self.method_id)}"

    @staticmethod
    def _reason(method: MethodState | None) -> Content | None:
        """Return why a method failed; None unless it did."""
        if method is None or method.status is not MethodStatus.FAILED or method.failure is None:
            return None
        return Content.styled(describe.failure_text(method.failure), "$error")

    def _subtitle(self, method: MethodState | None, differs_at: int | None) -> str:
        if method is None or method.trial is None:
            return "not recorded"
        if method.status is MethodStatus.FAILED and method.failure is not None and method.failure.failure_kind:
            return method.failure.failure_kind.value
        trial = method.trial
        parts = {"count": f"{trial.n_gen}/{trial.n_expected}"}
        if trial.ttft_ns is not None:
            parts["TTFT"] = f"TTFT {fmt.duration(trial.ttft_ns)}"
        if trial.decode_tps is not None:
            parts["speed"] = fmt.rate(trial.decode_tps)
        if differs_at is not None:
            parts["difference"] = f"≠ at {differs_at + 1}"
        known = "count" if trial.n_gen == trial.n_expected else "TTFT"
        return self._fitted(parts, known, "difference", "count", "TTFT")

    def _fitted(self, parts: dict[str, str], *dispensable: str) -> str:
        """Return the parts that there is room for; those that say least are left out first."""
        room = self.outer_size.width - _FRAME_WIDTH
        kept = dict(parts)
        for name in dispensable:
            if room <= 0 or cell_len(" · ".join(kept.values())) <= room or len(kept) == 1:
                break
            kept.pop(name, None)
        return " · ".join(kept.values())
