"""What is left to measure of a session, and whether that can be done here: what is known before somebody decides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from tuibench.core.run.control import is_control
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.events import FailureKind
from tuibench.core.run.host import Host, hosts_of
from tuibench.core.run.resume import missing
from tuibench.core.run.spec import Calibration, EvalText, RunSpec
from tuibench.measure.run.evaluation_text import shipped_text
from tuibench.measure.run.resume import Continuation, obstacles, other_texts, resumed_spec, threads_of_hosts
from tuibench.measure.run.resume_request import GivenTexts, Here, ResumeRequest
from tuibench.models.local import LocalModel, ModelError
from tuibench.store.schema import ModelHeader


class GoOn(StrEnum):
    """What is measured of a session."""

    MISSING = "missing"
    FAILED_TOO = "failed too"
    """What is missing, and the failed trials again."""
    MORE = "more"
    """Nothing is missing: further trials of each method."""


@dataclass(frozen=True, slots=True)
class ResumedRun:
    """What to measure, with what, and where it goes on."""

    spec: RunSpec
    model: LocalModel
    continuation: Continuation


@dataclass(frozen=True, slots=True)
class ResumeOffer:
    """A session that a run may go on with."""

    continuation: Continuation
    spec: RunSpec
    model: LocalModel | None
    """None where it is not on this machine, which is an obstacle, too."""
    obstacles: tuple[str, ...]
    """Why it cannot go on here, one reason each; none if it may go on."""
    notice: str | None
    """What will be left out."""
    comparable: bool = False
    """Whether the obstacles are such as something can be done about, and new trials would be comparable then."""

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

    def run(self, how: GoOn, n_more: int = 0) -> ResumedRun | None:
        """Return the run that goes on; None where an obstacle is in its way.

        Args:
            how: What is measured.
            n_more: Further trials of each method, where that is what is measured.
        """
        if self.model is None or self.obstacles:
            return None
        spec = self._with_more(n_more) if how is GoOn.MORE else self.spec
        continuation = replace(self.continuation, retry_failed=how is GoOn.FAILED_TOO)
        return ResumedRun(spec, self.model, continuation)

    def _with_more(self, n_trials: int) -> RunSpec:
        """Return the run that takes so many further trials of each method after what is missing."""
        trials = self.continuation.session.trials
        n_rounds = max((trial.index + 1 for trial in trials if not trial.warmup), default=0)
        n_rounds = max(n_rounds, self.spec.n_trials)
        # A precision that no speed is known with: all trials up to the most are taken.
        return msgspec.structs.replace(self.spec, precision=0.0, max_trials=n_rounds + n_trials)


def resume_offer(request: ResumeRequest, here: Here) -> ResumeOffer:
    """Read a session and look whether it can go on here: the dashboard and the command line decide by this.

    Raises:
        SessionError: It cannot be read.
    """
    continuation = Continuation.read(request.path, retry_failed=False)
    header = continuation.session.header
    model = _model(header.model, request, here)
    texts, notice = (request.texts, None) if request.texts else _as_measured(continuation)
    known_as = request.model or (model.name if model else header.model.name)
    spec = resumed_spec(header, model=known_as, eval_text=texts.eval_text, timeout_s=request.timeout_s)
    needs_text = spec.sweep is not None and spec.sweep.needs_text
    servers = [(measured, here.server(measured)) for measured in spec.endpoints]
    others = [name for name in hosts_of(spec.methods) if name is not None]
    known_hosts = here.hosts() if here.hosts is not None and others else {}
    hosts = tuple(known_hosts[name] for name in others if name in known_hosts)
    spec = msgspec.structs.replace(
        spec,
        calibration=texts.calibration,
        running_text=texts.running_text if needs_text else None,
        endpoints=tuple(known or measured for measured, known in servers),
        hosts=hosts,
        threads_of_hosts=threads_of_hosts(continuation.session),
    )
    lacking = [
        *_host_obstacles(continuation, others, hosts, reachable=here.hosts is not None),
        *_lacking_model(continuation, model),
        *_server_obstacles(servers),
        *other_texts(header, spec),
        *_asked_otherwise(request, spec),
    ]
    differing = tuple(obstacles(continuation.session, model)) if model is not None else ()
    return ResumeOffer(continuation, spec, model, (*differing, *lacking), notice, comparable=not differing)


def _host_obstacles(
    continuation: Continuation, measured: list[str], known: tuple[Host, ...], *, reachable: bool
) -> Iterator[str]:
    if measured and not reachable:
        command = f"`tuibench run --resume {continuation.path.stem}`"
        yield f"it was measured on other machines ({', '.join(measured)}), too: {command} in a shell goes on with it"
    elif lacking := [name for name in measured if name not in {host.name for host in known}]:
        yield f"it was measured on {', '.join(lacking)}: add [hosts.NAME] to the settings"


def _lacking_model(continuation: Continuation, model: LocalModel | None) -> Iterator[str]:
    if model is None:
        name = continuation.session.header.model.name
        yield f"its model {name} is not on this machine; pull it, or name its folder with --model"


def _server_obstacles(servers: list[tuple[Endpoint, Endpoint | None]]) -> Iterator[str]:
    """Yield which servers of a session are others here, or have a key that is not at hand; no session holds one."""
    for measured, known in servers:
        if known is None:
            continue
        if known.without_key() != measured:
            yield (
                f"{measured.method} was measured at {measured.url}, model {measured.model}, API {measured.api}: name "
                "the same"
            )
        elif known.key_env is not None and not os.environ.get(known.key_env):
            yield f"the environment variable that {known.method}'s key is to be in is not set"


def _asked_otherwise(request: ResumeRequest, spec: RunSpec) -> Iterator[str]:
    for asked in request.asked:
        if asked.value != getattr(spec, asked.name):
            yield f"it was measured with other {asked.called}; leave the option out"
    if request.control and not any(map(is_control, spec.methods)):
        yield "it was measured without --control; leave the option out"


def _model(measured: ModelHeader, request: ResumeRequest, here: Here) -> LocalModel | None:
    """Return the model that is named; else the one with the right weights, or else one that is called so."""
    names = (request.model,) if request.model is not None else (request.perhaps, measured.name)
    other: LocalModel | None = None
    for name in filter(None, names):
        with suppress(ModelError):
            found = here.find_model(name)
            if found is not None and found.digest == measured.digest:
                return found
            other = found if name == names[-1] else other
    return other


def _as_measured(continuation: Continuation) -> tuple[GivenTexts, str | None]:
    """Return the texts that ship, as far as the session was measured with them, and what to say about what was not."""
    settings = continuation.session.header.settings
    shipped = shipped_text()
    eval_text: EvalText | None = None
    notice = None
    if settings.eval_name == shipped.name:  # of an older version, perhaps: then that is an obstacle
        eval_text = shipped
    elif settings.eval_name is not None:
        command = f"`tuibench run --resume {continuation.path.stem} --eval-file FILE`"
        notice = f"quality is left out, for it was measured on {settings.eval_name}: {command} scores it, too"
    return GivenTexts(eval_text, shipped, Calibration(ranges=settings.calibration_ranges)), notice
