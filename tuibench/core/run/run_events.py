"""The facts of a whole run: what the runner (or a replay) tells, around the events of each worker."""

from __future__ import annotations

from dataclasses import dataclass

from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.run.events import EngineReady, Event
from tuibench.core.run.plan import Turn
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.shape import Shape


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run with these turns begins."""

    methods: tuple[str, ...]
    turns: tuple[Turn, ...]
    scored: bool = False
    """Whether quality is measured after them."""
    greedy: bool = True
    """Whether tokens are the most likely ones."""


@dataclass(frozen=True, slots=True)
class RecordsRestored:
    """The run goes on with a session: this was measured before."""

    trials: tuple[TrialRecord, ...]
    quality: tuple[QualityRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnsAdded:
    """The figures are not precise enough yet: one more round follows."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class MachineDescribed:
    """What the run takes place on, the read bandwidth included where it could be measured."""

    machine: MachineHeader
    n_threads: int
    host: str | None = None
    """The machine's name among several; None for the one that tuibench runs on."""
    price_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A method's turn has come; its worker may still have to start."""

    method: str
    index: int
    warmup: bool
    n_expected: int
    """Tokens that will be generated unless the model stops earlier."""
    shape: Shape | None = None
    """What is asked of it in a sweep."""
    ready: EngineReady | None = None
    """What its worker said when its model was loaded; None where that is still to come."""


@dataclass(frozen=True, slots=True)
class TrialObserved:
    """The worker of the method's current trial reported something."""

    method: str
    event: Event


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial is over and its record is saved."""

    record: TrialRecord


@dataclass(frozen=True, slots=True)
class QualityStarted:
    """A method's predictions are compared with the reference's; `TrialObserved` tells how far it is."""

    method: str


@dataclass(frozen=True, slots=True)
class QualityEnded:
    """The comparison is over and its record, figures or failure, is saved."""

    record: QualityRecord


@dataclass(frozen=True, slots=True)
class TurnsDropped:
    """The method's remaining trials will not take place; in a sweep perhaps only those of one shape."""

    method: str
    n_turns: int | None = None
    """How many, where only some of them are dropped."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something the user should know that is not a trial: a lock waited for, a session that could not be saved."""

    text: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """No more trials will come."""

    cancelled: bool = False


RunEvent = (
    RunStarted
    | MachineDescribed
    | RecordsRestored
    | TurnsAdded
    | TrialStarted
    | TrialObserved
    | TrialEnded
    | QualityStarted
    | QualityEnded
    | TurnsDropped
    | Noticed
    | RunEnded
)
