"""What a run has measured of its methods so far, and what it has given up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuibench.core.results.stopping import Measured, precise_enough
from tuibench.core.run.events import FailureKind
from tuibench.core.run.plan import Cell, Turn
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.resume import ends_cell, ends_method
from tuibench.core.run.run_events import TurnsDropped
from tuibench.core.run.spec import RunSpec
from tuibench.measure.run.telling import Telling


class Tally:
    """Hears of every trial that is over."""

    def __init__(self, spec: RunSpec, turns: Sequence[Turn], telling: Telling) -> None:
        """Begin with nothing measured.

        Args:
            spec: The comparison.
            turns: That are planned.
            telling: Told what is given up.
        """
        self._spec = spec
        self._turns = turns
        self._telling = telling
        shapes = spec.sweep.shapes() if spec.sweep else (None,)
        self.measured = {Cell(method, shape): Measured() for method in spec.methods for shape in shapes}
        self.latest: dict[str, TrialRecord] = {}
        """The latest trial of each method that has a result, under whatever shape."""
        self.peaks_bytes: dict[str, int] = {}
        """The most memory that each method was seen to take."""
        self.skipped: set[str] = set()
        """Methods that the user wants no more of."""
        self.dropped: set[str] = set()
        """Methods that are measured no more, whatever they lack."""
        self._dropped_cells: set[Cell] = set()
        self.taken: set[Turn] = set()
        """Before the run went on."""
        self.n_rounds = 0
        """That were begun."""

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Go on after these trials: what was measured stays, what was given up stays given up."""
        for record in records:
            self.hear(record)
            if record.warmup:
                continue
            turn = Turn(record.method, record.index, record.shape)
            self.taken.add(turn)
            self.n_rounds = max(self.n_rounds, record.index + 1)
            if not record.failed:
                self.add(record)
            else:
                self.give_up_if_final(turn, record)

    def hear(self, record: TrialRecord) -> None:
        """Take note of what a worker tells once, whichever shape it was asked for, and of its memory."""
        peak_bytes = record.peak_rss_bytes or 0
        if peak_bytes and not record.failed and not record.warmup:
            self.peaks_bytes[record.method] = max(peak_bytes, self.peaks_bytes.get(record.method, 0))
        for cell, measured in self.measured.items():
            if cell.method == record.method:
                measured.hear(record)

    def add(self, record: TrialRecord) -> None:
        """Count a measured trial that has a result."""
        self.measured[Cell(record.method, record.shape)].add(record)
        self.latest[record.method] = record

    def settled(self, cell: Cell, precision: float) -> bool:
        """Return whether more trials of a method under a shape would tell nothing new."""
        known = self.measured[cell]
        return self.is_dropped(cell) or (
            known.decoded_ns / 1e9 >= self._spec.min_time_s and precise_enough(known.speeds_tps, precision=precision)
        )

    def give_up_if_final(self, turn: Turn, record: TrialRecord) -> None:
        """Give up what would fail again as a trial did: its method, or that under its shape."""
        if ends_cell(record):
            self._dropped_cells.add(turn.cell)
            n_left = sum(other.cell == turn.cell for other in self._turns) - turn.index - 1
            self._telling.tell(TurnsDropped(turn.method, max(0, n_left)))
        elif ends_method(record):
            if record.failure_kind is FailureKind.SKIPPED:
                self.skipped.add(record.method)
            self.drop(record.method)

    def is_dropped(self, cell: Cell) -> bool:
        """Return whether a method is measured no more under a shape."""
        return cell.method in self.dropped or cell in self._dropped_cells

    def drop(self, method: str) -> None:
        """Measure no more of a method."""
        self.dropped.add(method)
        self._telling.tell(TurnsDropped(method))
