"""What the dashboard asks of the rest of the program, so that tests can script the answers.

Everything is imported when it is first needed: the first frame waits for none of it.
"""

# The whole point of this module is to import late.
# ruff: noqa: PLC0415

from __future__ import annotations

import itertools
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tuibench.config import Config
from tuibench.core.run.run_events import RunEvent
from tuibench.core.run.spec import EvalText, Method, RunSpec, method_of_server
from tuibench.core.run.state import RunState
from tuibench.ui.look.series import SeriesMap
from tuibench.ui.machine_sampler import MachineSample, sample_machine

if TYPE_CHECKING:
    from tuibench.core.results.comparison import Comparison
    from tuibench.core.run.eta import MethodCost
    from tuibench.measure.run.resume import Continuation
    from tuibench.measure.run.resume_offer import ResumeOffer
    from tuibench.models.cache import CachedModel
    from tuibench.models.local import LocalModel
    from tuibench.models.origin.pull_process import Pulled, PullFailed, PullProgress
    from tuibench.store.catalogue import SessionSummary
    from tuibench.store.prompts import PromptHistory, PromptLibrary
    from tuibench.store.schema import Session
    from tuibench.store.side_by_side import SideBySide
    from tuibench.ui.take_process import TakeEvent, TakeRequest


class LiveRun(Protocol):
    """A run under way: `tuibench.measure.run.measurement.Measurement`."""

    @property
    def session_path(self) -> Path | None:
        """The session file; None until it exists."""

    def events(self) -> AsyncGenerator[RunEvent, None]:
        """Measure, and yield what happens."""

    def stop(self) -> None:
        """End the run."""

    def skip(self, method: str | None = None) -> None:
        """End a method; by default the one that has its turn."""


class SessionTimeline(Protocol):
    """A stored session as a state for every moment of it: `tuibench.store.timeline.Timeline`."""

    duration_ns: int

    def at(self, position_ns: int) -> RunState:
        """Return the state at a time."""

    def next_token_ns(self, position_ns: int) -> int:
        """Return when the next token of any method came."""

    def token_before_ns(self, position_ns: int) -> int:
        """Return when the token before came."""


@dataclass(frozen=True, slots=True)
class Cpus:
    """What the machine is, in so far as the settings depend on it."""

    label: str
    n_usable: int
    n_default_threads: int


def _methods() -> Mapping[str, Method]:
    from tuibench.runtimes.environment import methods_here

    return methods_here()


def _find_model(name: str) -> LocalModel | None:
    from tuibench.models.origin.sources import find_model

    return find_model(name)


def _measure(spec: RunSpec, model: LocalModel, resume: Continuation | None = None) -> LiveRun:
    from tuibench import paths
    from tuibench.machine.bandwidth import read_bandwidth
    from tuibench.measure.run.measurement import Measurement

    return Measurement(spec, model, paths.sessions_dir(), bandwidth=read_bandwidth, resume=resume)


def _resume_offer(path: Path, named: str) -> ResumeOffer:
    from tuibench.measure.run.resume_offer import resume_offer

    return resume_offer(path, named, _find_model)


def _eval_text() -> EvalText:
    from tuibench.measure.run.evaluation_text import shipped_text

    return shipped_text()


def _pull(name: str) -> AsyncGenerator[PullProgress | Pulled | PullFailed, None]:
    from tuibench.models.origin.pull_process import pull_in_child

    return pull_in_child(name)


def _why_not_taken(method: str) -> str | None:
    from tuibench.deploy.methods import why_not

    return why_not(method)


def _take_folder(model: str, method: str) -> Path:
    """Return a folder under the current one that is free."""
    stem = re.sub(r"[^A-Za-z0-9_.+-]", "-", f"{Path(model).name}-{method}")
    numbered = (Path(stem if number == 1 else f"{stem}-{number}") for number in itertools.count(1))
    return next(folder for folder in numbered if not folder.exists() and not folder.is_symlink())


def _take(request: TakeRequest) -> AsyncGenerator[TakeEvent, None]:
    from tuibench.ui.take_process import take_in_child

    return take_in_child(request)


def _cached_models() -> list[CachedModel]:
    from tuibench.models.cache import cached_models

    return cached_models()


def _model_name(text: str) -> str:
    """Return what a model is called here.

    Raises:
        ModelError: It is the address of something else.
    """
    from tuibench.models.origin.page_address import hub_id

    return hub_id(text)


_N_HEADERS = 100
_N_LOOKED_AT = 8
"""Sessions, of which few hold all methods; each is a file to read."""


def _costs(model: str) -> dict[str, MethodCost]:
    """Return what each method took on a model in the newest of the user's sessions that measured it on this CPU."""
    from tuibench import paths
    from tuibench.core.run.eta import costs_of
    from tuibench.machine.fingerprint import machine_header
    from tuibench.store.catalogue import list_sessions
    from tuibench.store.schema import SessionError
    from tuibench.store.session import load

    found: dict[str, MethodCost] = {}
    cpu = machine_header().cpu
    index = paths.session_index()
    known = list_sessions((paths.sessions_dir(),), index=index, n_read=2 * _N_LOOKED_AT, n_headers=_N_HEADERS)
    for summary in [each for each in known if (each.model, each.cpu) == (model, cpu)][:_N_LOOKED_AT]:
        if summary.decode_tps.keys() <= found.keys():
            continue
        try:
            session = load(summary.path)
        except SessionError:  # removed meanwhile
            continue
        found = costs_of(session.trials, session.quality) | found
    return found


def _cpus() -> Cpus:
    from tuibench.machine.fingerprint import cpu_label, default_threads, effective_cpus

    return Cpus(cpu_label(), effective_cpus(), default_threads())


def _sessions(n_read: int | None = None, n_headers: int | None = None) -> list[SessionSummary]:
    from tuibench import paths
    from tuibench.store.catalogue import list_sessions

    folders = (paths.sessions_dir(), paths.sample_sessions())
    return list_sessions(folders, index=paths.session_index(), n_read=n_read, n_headers=n_headers)


def _load_session(path: Path) -> Session:
    from tuibench.store.session import load

    return load(path)


def _stored_state(session: Session, *, under_way: bool = False) -> RunState:
    from tuibench.store.replay import stored_state

    return stored_state(session, under_way=under_way)


def _under_way(path: Path) -> bool:
    from tuibench.store.under_way import is_measured

    return is_measured(path)


def _timeline(session: Session) -> SessionTimeline:
    from tuibench.store.timeline import Timeline

    return Timeline(session)


def _divergences_ns(session: Session, reference: str) -> dict[str, int]:
    from tuibench.store.timeline import divergences_ns

    return divergences_ns(session, reference)


def _compare(sessions: Sequence[Path], baseline: str | None) -> SideBySide:
    from tuibench.store.session import load
    from tuibench.store.side_by_side import side_by_side

    return side_by_side([(path, load(path)) for path in sessions], baseline)


def _export(comparison: Comparison, name: str, stem: str) -> Path:
    """Write a comparison into the current folder, under a name that is free.

    Raises:
        OSError: It cannot be written.
        ImportError: The format needs a library that is not installed; the message names it.
    """
    from tuibench.store.export.formats import exported

    content = exported(comparison, name)
    suffix = "txt" if name == "benchstat" else name
    number = 1
    while True:
        path = Path(f"{stem}.{suffix}" if number == 1 else f"{stem}-{number}.{suffix}")
        try:
            with path.open("xb") as file:
                file.write(content)
        except FileExistsError:
            number += 1
        else:
            return path


def _prompt_library() -> PromptLibrary:
    from tuibench import paths
    from tuibench.store.prompts import PromptLibrary

    return PromptLibrary(paths.user_prompts())


def _prompt_history() -> PromptHistory:
    from tuibench import paths
    from tuibench.store.prompts import PromptHistory

    return PromptHistory(paths.prompt_history())


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The real ones by default."""

    methods: Callable[[], Mapping[str, Method]] = _methods
    find_model: Callable[[str], LocalModel | None] = _find_model
    """Quick and without network; None when the model would have to be pulled."""
    measure: Callable[..., LiveRun] = _measure
    """What to measure, with which model, and the `Continuation` of the session to go on with, or None."""
    resume_offer: Callable[[Path, str], ResumeOffer] = _resume_offer
    """The model as the user named it is its second argument."""
    cached_models: Callable[[], list[CachedModel]] = _cached_models
    model_name: Callable[[str], str] = _model_name
    """The address of a model's page is its hub id."""
    costs: Callable[[str], Mapping[str, MethodCost]] = _costs
    """What methods took before, on a model by its name."""
    pull: Callable[[str], AsyncGenerator[PullProgress | Pulled | PullFailed, None]] = _pull
    eval_text: Callable[[], EvalText] = _eval_text
    """What quality is measured on."""
    cpus: Callable[[], Cpus] = _cpus
    sample_machine: Callable[[], MachineSample] = sample_machine
    sessions: Callable[..., list[SessionSummary]] = _sessions
    """How many files to read whole, None for all, and of how many others the header."""
    load_session: Callable[[Path], Session] = _load_session
    stored_state: Callable[..., RunState] = _stored_state
    under_way: Callable[[Path], bool] = _under_way
    """Whether a session that lacks trials is being measured now, here or by another program."""
    timeline: Callable[[Session], SessionTimeline] = _timeline
    divergences_ns: Callable[[Session, str], dict[str, int]] = _divergences_ns
    compare: Callable[[Sequence[Path], str | None], SideBySide] = _compare
    """The method that speeds are stated against is its second argument; None for the usual one."""
    export: Callable[[Comparison, str, str], Path] = _export
    why_not_taken: Callable[[str], str | None] = _why_not_taken
    """Why a method cannot be taken home; None for one that can."""
    take_folder: Callable[[str, str], Path] = _take_folder
    """Where a method of a model goes."""
    take: Callable[[TakeRequest], AsyncGenerator[TakeEvent, None]] = _take
    prompt_library: Callable[[], PromptLibrary] = _prompt_library
    prompt_history: Callable[[], PromptHistory] = _prompt_history
    clock_s: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class Context:
    """What every screen is given; only the model is ever another."""

    services: Services
    series: SeriesMap
    model: str
    """As the user named it."""
    low_bandwidth: bool = False
    config: Config = field(default_factory=Config)

    def known_methods(self) -> Mapping[str, Method]:
        """Return the methods that are installed, in ladder order, and the servers of the settings file."""
        servers = {endpoint.method: method_of_server(endpoint) for endpoint in self.config.servers}
        return {**self.services.methods(), **servers}

    @property
    def snapshot_s(self) -> float:
        """Least time between two repaints of a run: they cost time on the cores that are measured."""
        return 1.0 if self.low_bandwidth else 1 / 2

    @property
    def frame_s(self) -> float:
        """Time between two repaints of a replay, when nothing is measured."""
        return 1.0 if self.low_bandwidth else 1 / 3

    @property
    def sample_s(self) -> float:
        """Time between two readings of the machine."""
        return 5.0 if self.low_bandwidth else 1.0
