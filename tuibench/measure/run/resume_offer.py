"""What is left to measure of a session, and whether that can be done here: what is known before somebody decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tuibench.core.run.control import is_control
from tuibench.core.run.events import FailureKind
from tuibench.core.run.host import hosts_of
from tuibench.core.run.resume import missing
from tuibench.core.run.spec import Calibration, EvalText, RunSpec
from tuibench.measure.run.evaluation_text import shipped_text
from tuibench.measure.run.resume import Continuation, obstacles, other_texts, resumed_spec
from tuibench.models.local import LocalModel, ModelError
from tuibench.store.schema import ModelHeader


@dataclass(frozen=True, slots=True)
class ResumeOffer:
    """A session that a run may go on with."""

    continuation: Continuation
    spec: RunSpec
    model: LocalModel | None
    """None where it is not on this machine, which is an obstacle, too."""
    obstacles: tuple[str, ...]
    """Why new trials would not be comparable with those that are there, one reason each; none if it may go on."""
    notice: str | None
    """What will be left out."""

    @property
    def n_planned(self) -> int:
        """Trials that were planned."""
        return len(self.continuation.session.header.settings.turns())

    @property
    def n_failed(self) -> int:
        """Trials that failed; a cancelled one is only missing."""
        trials = self.continuation.session.trials
        return sum(each.failed and each.failure_kind is not FailureKind.CANCELLED for each in trials)

    def n_missing(self, *, retry_failed: bool) -> int:
        """Return how many planned trials would be taken."""
        session = self.continuation.session
        return len(missing(session.header.settings.turns(), session.trials, retry_failed=retry_failed))

    @property
    def unscored(self) -> tuple[str, ...]:
        """The methods that were measured, and whose quality was to be scored but is not."""
        if self.spec.eval_text is None:
            return ()
        scored = {record.method for record in self.continuation.quality}
        trials = self.continuation.session.trials
        measured = {trial.method for trial in trials if not trial.warmup and not trial.failed}
        return tuple(name for name in self.spec.methods if name in measured - scored and not is_control(name))

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, and no failed trial could be taken again."""
        more = self.spec.precision is not None or self.unscored
        return not more and not self.n_failed and not self.n_missing(retry_failed=False)

    def with_more(self, n_trials: int) -> RunSpec:
        """Return the run that takes so many further trials of each method after what is missing."""
        trials = self.continuation.session.trials
        n_rounds = max((trial.index + 1 for trial in trials if not trial.warmup), default=0)
        n_rounds = max(n_rounds, self.spec.n_trials)
        # A precision that no speed is known with: all trials up to the most are taken.
        return msgspec.structs.replace(self.spec, precision=0.0, max_trials=n_rounds + n_trials)

    def taken(self, *, retry_failed: bool) -> Continuation:
        """Return what the run goes on with."""
        return replace(self.continuation, retry_failed=retry_failed)


def resume_offer(path: Path, named: str, find: Callable[[str], LocalModel | None]) -> ResumeOffer:
    """Read a session and look whether it can go on here.

    Args:
        path: The session.
        named: A model that may be the session's under another name: a folder, for example.
        find: Finds a model on this machine.

    Raises:
        SessionError: It cannot be read.
    """
    continuation = Continuation.read(path, retry_failed=False)
    header = continuation.session.header
    model = _model(header.model, named, find)
    eval_text, notice = _eval_text(continuation)
    spec = resumed_spec(header, model=header.model.name, eval_text=eval_text, timeout_s=None)
    text = shipped_text() if spec.sweep is not None and spec.sweep.needs_text else None
    calibrated = Calibration(ranges=header.settings.calibration_ranges)
    spec = msgspec.structs.replace(spec, calibration=calibrated, running_text=text)
    return ResumeOffer(continuation, spec, model, tuple(_obstacles(continuation, model, spec)), notice)


def _obstacles(continuation: Continuation, model: LocalModel | None, spec: RunSpec) -> Iterator[str]:
    header = continuation.session.header
    if others := [name for name in hosts_of(header.settings.methods) if name is not None]:
        command = f"`tuibench run --resume {continuation.path.stem}`"
        yield f"it was measured on other machines ({', '.join(others)}), too: {command} in a shell goes on with it"
    if model is None:
        yield f"its model {header.model.name} is not on this machine; pull it, or start with --model FOLDER"
    else:
        yield from obstacles(continuation.session, model)
    yield from other_texts(header, spec)


def _model(measured: ModelHeader, named: str, find: Callable[[str], LocalModel | None]) -> LocalModel | None:
    """Return the model with the right weights, else one that is called so."""
    other: LocalModel | None = None
    for name in (named, measured.name):
        with suppress(ModelError):
            found = find(name)
            if found is not None and found.digest == measured.digest:
                return found
            other = found if name == measured.name else other
    return other


def _eval_text(continuation: Continuation) -> tuple[EvalText | None, str | None]:
    """Return the text that quality was measured on if it is the one that ships, and else what to say about it."""
    settings = continuation.session.header.settings
    if settings.eval_name is None:
        return None, None
    shipped = shipped_text()
    if shipped.name == settings.eval_name:  # of an older version, perhaps: then that is an obstacle
        return shipped, None
    command = f"`tuibench run --resume {continuation.path.stem} --eval-file FILE`"
    return None, f"quality is left out, for it was measured on {settings.eval_name}: {command} scores it, too"
