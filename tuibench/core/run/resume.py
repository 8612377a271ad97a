"""What of an interrupted run is still to be measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuibench.core.run.events import FailureKind, Phase
from tuibench.core.run.plan import Turn
from tuibench.core.run.record import TrialRecord

_FINAL_KINDS = frozenset(
    {
        FailureKind.UNSUPPORTED,
        FailureKind.BAD_INPUT,
        FailureKind.PROTOCOL,
        FailureKind.SKIPPED,
        FailureKind.CANCELLED,
        FailureKind.DISCONNECTED,
    }
)
_CELL_KINDS = frozenset({FailureKind.UNSUPPORTED, FailureKind.BAD_INPUT, FailureKind.OUT_OF_MEMORY})
"""What may come of what was asked for: another shape can go well."""
_INTERRUPTED = frozenset({FailureKind.CANCELLED, FailureKind.DISCONNECTED})
"""What says nothing of the method: its turns are only missing."""
_LOADING = frozenset({Phase.START, Phase.PREPARE, Phase.LOAD})


def ends_method(record: TrialRecord) -> bool:
    """Return whether the other trials of the method would end as this one did, whatever their shape."""
    if not record.failed or ends_cell(record):
        return False
    return record.failure_kind in _FINAL_KINDS or record.failure_phase in _LOADING


def ends_cell(record: TrialRecord) -> bool:
    """Return whether the other trials of the method under this shape of a sweep would end as this one did."""
    asked_too_much = record.failure_kind in _CELL_KINDS and record.failure_phase not in _LOADING
    return asked_too_much and record.shape is not None


def split_superseded(records: Sequence[TrialRecord]) -> tuple[tuple[TrialRecord, ...], tuple[TrialRecord, ...]]:
    """Return the records that count, and the failed ones whose turn was taken again later; both in their order."""
    if not any(record.failed for record in records):
        return tuple(records), ()
    last = {_turn(record): position for position, record in enumerate(records) if not record.warmup}
    counted: list[TrialRecord] = []
    superseded: list[TrialRecord] = []
    for position, record in enumerate(records):
        again = record.failed and not record.warmup and last[_turn(record)] > position
        (superseded if again else counted).append(record)
    return tuple(counted), tuple(superseded)


def kept(records: Iterable[TrialRecord], *, retry_failed: bool) -> tuple[TrialRecord, ...]:
    """Return the records whose turns are not taken again when a run goes on.

    Args:
        records: All that count.
        retry_failed: Take the turns of failed trials again as well, not only of those that were cancelled or cut off.
    """
    return tuple(record for record in records if not _again(record, retry_failed=retry_failed))


def _again(record: TrialRecord, *, retry_failed: bool) -> bool:
    return record.failed and not record.warmup and (retry_failed or record.failure_kind in _INTERRUPTED)


def missing(turns: Iterable[Turn], records: Iterable[TrialRecord], *, retry_failed: bool) -> tuple[Turn, ...]:
    """Return the planned turns that are taken when a run goes on.

    Args:
        turns: All that were planned.
        records: All that count.
        retry_failed: As for `kept`.
    """
    stay = [record for record in kept(records, retry_failed=retry_failed) if not record.warmup]
    taken = set(map(_turn, stay))
    given_up = {record.method for record in stay if ends_method(record)}
    cells = {_turn(record).cell for record in stay if ends_cell(record)}
    return tuple(turn for turn in turns if turn not in taken and turn.method not in given_up and turn.cell not in cells)


def _turn(record: TrialRecord) -> Turn:
    return Turn(record.method, record.index, record.shape)
