"""What the machine does meanwhile: cores, memory, load, the worker's resident memory."""

from __future__ import annotations

from textual.reactive import var

from tuibench.core import format as fmt
from tuibench.core.run.state import RunState
from tuibench.ui.machine_sampler import MachineSample
from tuibench.ui.widgets.plain_lines import Part, PartRows, Row

_EIGHTHS = "▁▂▃▄▅▆▇█"
_LABEL = 7
_FULL = 100.0
_BUSY = 85.0


class MachinePanel(PartRows):
    """A box of bars; one line where there is no room for a box. A thrifty one does without a bar for each core."""

    sample: var[MachineSample | None] = var(None)
    run: var[RunState] = var(RunState, init=False)

    def __init__(self, *, thrifty: bool = False) -> None:
        super().__init__()
        self._thrifty = thrifty
        self._rss: int | None = None

    def on_mount(self) -> None:
        """Name the box."""
        self.border_title = "Machine"

    def watch_sample(self) -> None:
        """Draw the bars that are longer or shorter."""
        if self.is_mounted:
            self.redraw()

    def watch_run(self, run: RunState) -> None:
        """Draw the worker's memory when it is another."""
        if self.is_mounted and self._worker_rss(run) != self._rss:
            self.redraw()

    def _worker_rss(self, run: RunState) -> int | None:
        current = run.current
        return current.trial.rss_bytes if current and current.trial else None

    def rows(self) -> list[Row]:
        """Return the box or the line."""
        self._rss = self._worker_rss(self.run)
        if self.sample is None:
            return [(("reading …", "$muted"),)]
        return [self._one_line(self.sample)] if self.size.height == 1 else self._box(self.sample)

    def _one_line(self, sample: MachineSample) -> Row:
        cores = " ".join(f"{percent:3.0f}" for percent in sample.cpu_percent[:4])
        more = "…" if len(sample.cpu_percent) > 4 else ""  # noqa: PLR2004 - what a narrow line has room for
        told = [(" cpu ", f"{cores}{more} %"), ("  mem ", _memory(sample)), ("  worker ", fmt.size(self._rss))]
        if sample.load is not None:
            told.append(("  load ", f"{sample.load:.1f}"))
        room = self.size.width
        parts: list[Part] = []
        for label, text in told:
            room -= len(label) + len(text)
            if room >= 0:
                parts += [(label, "$muted"), (text, "")]
        return tuple(parts)

    def _box(self, sample: MachineSample) -> list[Row]:
        width, height = self.size
        rest = [
            self._bar_row("mem", 100 * sample.memory_used_bytes / sample.memory_total_bytes, _memory(sample), width),
            _row("worker", fmt.size(self._rss), width),
            _row("load", fmt.MISSING if sample.load is None else f"{sample.load:.2f}", width),
        ]
        n_free = height - len(rest)
        if self._thrifty:
            mean = sum(sample.cpu_percent) / max(1, len(sample.cpu_percent))
            cores = [self._bar_row("cpu", mean, f"{mean:.0f} %", width)]
        elif len(sample.cpu_percent) <= n_free:
            cores = [
                self._bar_row(f"cpu{core}", percent, f"{percent:.0f} %", width)
                for core, percent in enumerate(sample.cpu_percent)
            ]
        else:
            cores = [self._cores(sample.cpu_percent, width)]
        return [*cores, *rest]

    def _bar_row(self, label: str, percent: float, text: str, width: int) -> Row:
        right = f"{text:>14}" if len(text) > 5 else f"{text:>6}"  # noqa: PLR2004 - "100 %"
        room = max(0, width - _LABEL - len(right))
        filled = round(room * min(percent, _FULL) / _FULL)
        return (
            (f"{label:<{_LABEL}}", "$muted"),
            ("━" * filled, "$warning" if percent >= _BUSY and label.startswith("cpu") else "$primary"),
            ("─" * (room - filled), "$line"),
            (right, ""),
        )

    def _cores(self, percents: tuple[float, ...], width: int) -> Row:
        """One character per core: what a machine with many of them has room for."""
        blocks = "".join(_EIGHTHS[min(7, int(percent / 12.5))] for percent in percents)
        room = width - _LABEL
        if len(blocks) > room:
            blocks = blocks[: room - 1] + "…"
        return (f"{'cpu':<{_LABEL}}", "$muted"), (blocks, "$primary")


def _row(label: str, text: str, width: int) -> Row:
    return (f"{label:<{_LABEL}}", "$muted"), (f"{text:>{max(0, width - _LABEL)}}", "")


def _memory(sample: MachineSample) -> str:
    gib = 1024**3
    return f"{sample.memory_used_bytes / gib:.1f}/{sample.memory_total_bytes / gib:.1f} GiB"
