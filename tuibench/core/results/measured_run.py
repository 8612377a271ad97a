"""One run, live or stored, as far as it has come; of a sweep, the part that has one shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING

from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.run.host import THIS_MACHINE
from tuibench.core.run.limits import Limits
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.shape import Shape, describe, swept_axes

if TYPE_CHECKING:
    from tuibench.core.run.state import RunState


LABEL_PARTS = " · "
"""Between a session's name, the machine and the shape."""


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One run, live or stored, as far as it has come."""

    label: str
    """What tells it from the others: a session's name."""
    methods: tuple[str, ...]
    trials: tuple[TrialRecord, ...]
    """In the order they took place; warm-ups and failures included."""
    quality: tuple[QualityRecord, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What may differ between runs, as text: model, prompt, threads."""
    machine: MachineHeader | None = None
    """None where it is not known: there is no roofline and no observer cost then."""
    n_threads: int = 1
    greedy: bool = True
    """Whether tokens were the most likely ones, so that texts can be compared."""
    n_asked: int | None = None
    """Tokens that each measured trial was to generate; None where it is not known."""
    resumed: tuple[datetime, ...] = ()
    """When it went on after an interruption, in order."""
    created: datetime | None = None
    """When it was begun; None where it is not known."""
    prompt: str | None = None
    """The whole of it; None where it is not known."""
    shape: Shape | None = None
    """Which part of a sweep it is; None for a run of one shape."""
    host: str | None = None
    """Of a run on several machines, which one this is; None for a run on one."""
    price_per_hour: float | None = None
    """Of the machine, in whatever currency."""
    limits: Limits | None = None
    """Of a search for the fastest method that keeps them; None where everything was measured."""
    part_of: str | None = None
    """What the session is called that this is a machine or a shape of; None where it is the whole of one."""

    @property
    def session(self) -> str:
        """What its session is called among others."""
        return self.label if self.part_of is None else self.part_of

    @property
    def where(self) -> str:
        """What its machine is called among those of other runs."""
        return self.host or THIS_MACHINE


def run_of_state(state: RunState, label: str = "") -> MeasuredRun:
    """Return a run as far as its state knows it; of a sweep, what was measured of the shape that has its turn."""
    run = whole_run(state, label)
    return run if state.shape is None else _of_shape(run, state.shape, _trials_by_shape(run.trials))


def whole_run(state: RunState, label: str = "") -> MeasuredRun:
    """Return a run as far as its state knows it, with the trials of all machines and shapes."""
    return MeasuredRun(
        label,
        tuple(state.methods),
        tuple(sorted(state.records, key=lambda record: record.finished)),
        tuple(found for method in state.methods.values() if (found := method.quality) is not None),
        machine=state.machine,
        n_threads=state.n_threads,
        greedy=state.greedy,
    )


def by_shape(run: MeasuredRun, shapes: Sequence[Shape]) -> list[MeasuredRun]:
    """Return a run of several shapes as one run each, called after what tells them apart; a run of one as it is."""
    axes, trials = swept_axes(shapes), _trials_by_shape(run.trials)
    runs = []
    for shape in shapes:
        words = describe(shape, axes)
        label = f"{run.label}{LABEL_PARTS}{words}" if run.label and words else run.label or words
        runs.append(_of_shape(replace(run, label=label, part_of=run.session), shape, trials))
    return runs or [run]


_ByShape = Mapping[Shape | int | None, list[TrialRecord]]
"""A shape's trials, and under a number of threads the warm-up trials of all shapes with so many."""


def _trials_by_shape(trials: Iterable[TrialRecord]) -> _ByShape:
    found: dict[Shape | int | None, list[TrialRecord]] = {}
    for record in trials:
        found.setdefault(record.n_threads if record.warmup else record.shape, []).append(record)
    return found


def _of_shape(run: MeasuredRun, shape: Shape, trials: _ByShape) -> MeasuredRun:
    """Return what of a sweep is of one shape.

    The warm-up trials of all shapes with its threads are part of it: they tell what a worker tells once.
    """
    own = [*trials.get(shape.n_threads, ()), *trials.get(shape, ())]
    facts = {**run.facts, "threads": str(shape.n_threads), "tokens": str(shape.max_new_tokens)} if run.facts else {}
    if facts and shape.prompt_tokens is not None:
        facts["prompt"] = f"{shape.prompt_tokens} tokens"
    if facts and shape.depth_tokens:
        facts["depth"] = str(shape.depth_tokens)
    return replace(
        run,
        trials=tuple(sorted(own, key=attrgetter("finished"))),
        facts=facts,
        n_threads=shape.n_threads,
        n_asked=shape.max_new_tokens,
        prompt=None if shape.prompt_tokens is not None else run.prompt,
        shape=shape,
    )
