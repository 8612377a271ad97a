"""What a session file holds: a header, then a table per finished trial, per method's quality, per later finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime

import msgspec

from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.limits import Limits
from tuibench.core.run.plan import Turn
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.shape import Shape, Sweep
from tuibench.core.run.spec import Ranges, Sampling

SCHEMA_VERSION = 4
_BEFORE_USERS, _BEFORE_SWEEPS_AND_HOSTS, _BEFORE_ENDPOINTS = 3, 2, 1


def version_to_write(*, endpoints: bool, sweep: bool, hosts: bool, users: bool) -> int:
    """Return the version that a new session needs: the oldest that says all of it, so that older readers can have it.

    Args:
        endpoints: Whether it measures servers, whose trials have text and no tokens. Version 1 has no such trials.
        sweep: Whether its trials have several shapes. Version 2 would take them for trials of one; it refuses the file,
            since the header of a sweep has no `order` where it looks for one.
        hosts: Whether it measures other machines. Version 2 would take their rows for this machine's.
        users: Whether it measures several users at once. Version 3 would take the tokens of all for those of one.
    """
    if users:
        return SCHEMA_VERSION
    if sweep or hosts:
        return _BEFORE_USERS
    return _BEFORE_SWEEPS_AND_HOSTS if endpoints else _BEFORE_ENDPOINTS


class ModelHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Which weights were measured."""

    name: str
    source: str
    digest: str
    parameters: int
    weight_bytes: int
    architecture: str
    dtype: str


class SweepHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Several shapes in one session."""

    axes: Sweep
    text_name: str | None = None
    """What prompts are cut from and depth is filled with; None where nothing is."""
    text_sha256: str | None = None
    order: tuple[str, ...]
    """Methods in the order of the turns that were planned."""
    order_shapes: tuple[int, ...]
    """The shape of each of these turns, as its number among those that the axes make."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for."""

    prompt: str
    prompt_sha256: str
    raw: bool
    prompt_date: date | None = None
    """The day that chat templates told the model; None in sessions of older versions, which told them the clock."""
    methods: tuple[str, ...]
    max_new_tokens: int
    n_trials: int
    precision: float | None = None
    max_trials: int | None = None
    min_time_s: float | None = None
    budget_s: float | None = None
    n_warmup: int
    n_threads: int
    n_threads_of_hosts: int | None = None
    """Threads that were asked for on other machines; None: as many as suit each."""
    order: tuple[str, ...] = ()
    """Methods in the order of the turns that were planned; the trials themselves stand in the order they took place.
    Empty for a sweep, which has its own."""
    sampling: Sampling
    eval_name: str | None = None
    """The text that quality was to be measured on; None where it was not."""
    eval_sha256: str | None = None
    calibration_sha256: str | None = None
    """The user's own calibration text; None for the one that ships."""
    calibration_ranges: Ranges = "min-max"
    endpoints: tuple[Endpoint, ...] = ()
    """Servers that were measured, without what their keys are in."""
    limits: Limits | None = None
    """Of a search for the fastest method that keeps them; None where everything was measured."""
    staggered: bool = False
    """Whether several users came one by one."""
    ttft_limit_ns: int | None = None
    """With the next one, what goodput asks of each user's answer."""
    tpot_limit_ns: int | None = None
    sweep: SweepHeader | None = None
    """None in a session of one shape, whose trials have none of their own."""

    def turns(self) -> tuple[Turn, ...]:
        """Return the turns of the run, numbered within each method and shape."""
        shapes = self.sweep.axes.shapes() if self.sweep else ()
        cells: Iterable[tuple[str, Shape | None]] = ((method, None) for method in self.order)
        if self.sweep:
            planned = zip(self.sweep.order, self.sweep.order_shapes, strict=True)
            cells = ((method, shapes[number]) for method, number in planned)
        seen: Counter[tuple[str, Shape | None]] = Counter()
        turns = []
        for cell in cells:
            turns.append(Turn(cell[0], seen[cell], cell[1]))
            seen[cell] += 1
        return tuple(turns)


class SessionHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The top of the file."""

    schema_version: int
    id: str
    name: str = ""
    created: datetime
    tuibench_version: str
    tuibench_commit: str | None = None
    model: ModelHeader
    machine: MachineHeader
    settings: Settings

    @property
    def prompt_date(self) -> date:
        """The day that chat templates tell the model, in all trials."""
        return self.settings.prompt_date or self.created.date()


class Annotation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody says about a session afterwards: a table appended to its file, so that it travels with it.

    A field that is None says nothing; of several tables, the last word on each field counts.
    """

    name: str | None = None
    tags: tuple[str, ...] | None = None
    note: str | None = None
    written: datetime

    def after(self, earlier: Annotation | None) -> Annotation:
        """Return what both say together, this one having the last word."""
        if earlier is None:
            return self
        said = {field: value for field in ("name", "tags", "note") if (value := getattr(self, field)) is not None}
        return msgspec.structs.replace(earlier, written=self.written, **said)


class Resumption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run that went on: the trials after this table were measured from then on."""

    n_trials: int
    """Trials that the file held before, warm-up included."""
    retry_failed: bool = False
    """Whether the turns of failed trials were taken again, not only the missing ones."""
    tuibench_version: str
    tuibench_commit: str | None = None
    resumed: datetime
    """Time zone included, written last, as in a trial's record."""


class HostRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another machine of the run, whose rows are called `METHOD@NAME`; of several tables, the last word counts."""

    name: str
    """As the user calls it: no address."""
    n_threads: int
    price_per_hour: float | None = None
    """In whatever currency."""
    machine: MachineHeader
    told: datetime
    """Time zone included, written last, as in a trial's record."""


class SecondReading(msgspec.Struct, frozen=True, kw_only=True):
    """The read bandwidth measured once more, since a method had read faster than the header's."""

    read_bytes_per_s: int
    measured: datetime
    """Time zone included, written last, as in a trial's record."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session as loaded."""

    header: SessionHeader
    """With the second reading of the bandwidth, where there is one."""
    trials: tuple[TrialRecord, ...] = ()
    quality: tuple[QualityRecord, ...] = ()
    """The latest of each method."""
    hosts: dict[str, HostRecord] = {}
    """Other machines by name."""
    annotation: Annotation | None = None
    resumed: tuple[Resumption, ...] = ()
    superseded: tuple[TrialRecord, ...] = ()
    """Failed trials whose turn was taken again later: they stay in the file, and count for nothing."""
    dropped: tuple[str, ...] = ()
    """What of the file could not be read, one sentence each."""

    @property
    def newer(self) -> bool:
        """Whether a newer tuibench wrote it: shown as far as it is understood, never written to."""
        return self.header.schema_version > SCHEMA_VERSION

    @property
    def prompt_read(self) -> tuple[str, int | None] | None:
        """SHA-256 and tokens of the text that the model read as its prompt; None in sessions of older versions."""
        read = (trial for trial in self.trials if trial.prompt_text_sha256 is not None)
        return next(((trial.prompt_text_sha256 or "", trial.n_prompt) for trial in read), None)

    @property
    def name(self) -> str:
        """The name given last; empty if there never was one."""
        renamed = self.annotation.name if self.annotation else None
        return self.header.name if renamed is None else renamed


class SessionError(Exception):
    """A session cannot be read; the message names the file, the reason and the remedy."""
