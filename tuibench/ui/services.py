"""What the dashboard asks of the rest of the program: one method each, so that tests can script the answers.

Everything is imported when it is first needed: the first frame waits for none of it.
"""

# The whole point of this module is to import late.
# ruff: noqa: PLC0415

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tuibench import paths

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from pathlib import Path

    from tuibench.core.results.comparison import Comparison
    from tuibench.core.run.endpoint import Endpoint
    from tuibench.core.run.eta import MethodCost
    from tuibench.core.run.spec import EvalText, Method, RunSpec
    from tuibench.core.run.state import RunState
    from tuibench.measure.run.measurement import Measurement
    from tuibench.measure.run.resume import Continuation
    from tuibench.measure.run.resume_offer import ResumeOffer
    from tuibench.models.cache import CachedModel
    from tuibench.models.local import LocalModel
    from tuibench.models.memory_needs import Fit
    from tuibench.models.origin.pull_events import PullEvent
    from tuibench.models.origin.sources import NamedModel
    from tuibench.store.catalogue import SessionSummary
    from tuibench.store.prompts import PromptHistory, PromptLibrary
    from tuibench.store.schema import Session
    from tuibench.store.side_by_side import SideBySide
    from tuibench.store.timeline import Timeline
    from tuibench.ui.machine_sampler import Cpus, MachineSample
    from tuibench.ui.take_process import TakeEvent, TakeRequest


class Services:
    """The real ones."""

    # Measuring ------------------------------------------------------------------------------------------------------

    def measure(self, spec: RunSpec, model: LocalModel, resume: Continuation | None = None) -> Measurement:
        """Return a run, which begins when its events are asked for.

        Args:
            spec: What to measure.
            model: With which model.
            resume: The session to go on with, or None.
        """
        from tuibench.machine.bandwidth import read_bandwidth
        from tuibench.measure.run.measurement import Measurement

        return Measurement(spec, model, paths.sessions_dir(), bandwidth=read_bandwidth, resume=resume)

    def resume_offer(self, path: Path, named: str, servers: Iterable[Endpoint]) -> ResumeOffer:
        """Return what is left to measure of a session, and whether that can be done here.

        Args:
            path: The session.
            named: The model as the user named it.
            servers: Of the settings.

        Raises:
            SessionError: It cannot be read.
        """
        from tuibench.measure.run.resume_offer import resume_offer
        from tuibench.measure.run.resume_request import Here, ResumeRequest

        known = {server.method: server for server in servers}
        here = Here(find_model=self.find_model, server=lambda measured: known.get(measured.method))
        return resume_offer(ResumeRequest(path=path, perhaps=named), here)

    def costs(self, model: str) -> Mapping[str, MethodCost]:
        """Return what methods took before, on a model by its name."""
        from tuibench.measure.run.earlier_costs import earlier_costs

        return earlier_costs(model)

    def fits(self, model: LocalModel, methods: Sequence[str], n_tokens: int) -> Mapping[str, Fit]:
        """Return what methods will take of memory beside what is free now; those that nothing is known of are absent.

        Args:
            model: The model.
            methods: By their ids.
            n_tokens: Of the longest text, all in all.
        """
        from tuibench.machine.memory_room import free_memory_bytes
        from tuibench.models.local import ModelError
        from tuibench.models.memory_needs import Fit, need_of
        from tuibench.models.model_size import size_of

        try:
            size, free_bytes = size_of(model.directory), free_memory_bytes()
        except ModelError:  # a run will say so
            return {}
        needs = {method: need_of(method, size, n_tokens) for method in methods}
        return {method: Fit(need, free_bytes) for method, need in needs.items() if need is not None}

    def eval_text(self) -> EvalText:
        """Return what quality is measured on."""
        from tuibench.measure.run.evaluation_text import shipped_text

        return shipped_text()

    def prompt_library(self) -> PromptLibrary:
        """Return the prompts that are kept."""
        from tuibench.store.prompts import PromptLibrary

        return PromptLibrary(paths.user_prompts())

    def prompt_history(self) -> PromptHistory:
        """Return the prompts that were used before."""
        from tuibench.store.prompts import PromptHistory

        return PromptHistory(paths.prompt_history())

    # Methods, models and the machine --------------------------------------------------------------------------------

    def methods(self) -> Mapping[str, Method]:
        """Return the methods that are installed, in ladder order."""
        from tuibench.runtimes.environment import methods_here

        return methods_here()

    def missing_runtime(self, name: str) -> str | None:
        """Return why a runtime cannot be used, and what installs it; None for one that can."""
        from tuibench.runtimes.environment import missing

        return missing(name)

    def add_runtime(self, name: str) -> AsyncGenerator[PullEvent, None]:
        """Install a runtime."""
        from tuibench.runtimes.add_process import add_in_child

        return add_in_child(name)

    def find_model(self, name: str) -> LocalModel | None:
        """Return a model, quickly and without network; None when it would have to be pulled.

        Raises:
            ModelError: It cannot be used.
        """
        from tuibench.models.origin.sources import find_model

        return find_model(name)

    def cached_models(self) -> list[CachedModel]:
        """Return the models that are on this disk."""
        from tuibench.models.cache import cached_models

        return cached_models()

    def named_model(self, name: str) -> NamedModel:
        """Return what a name means on this disk; reads small files only."""
        from tuibench.models.origin.sources import named_model

        return named_model(name)

    def model_name(self, text: str) -> str:
        """Return what a model is called here: the address of its page is its hub id.

        Raises:
            ModelError: It is the address of something else.
        """
        from tuibench.models.origin.page_address import hub_id

        return hub_id(text)

    def pull(self, name: str) -> AsyncGenerator[PullEvent, None]:
        """Fetch a model."""
        from tuibench.models.origin.pull_process import pull_in_child

        return pull_in_child(name)

    def cpus(self) -> Cpus:
        """Return what the machine is, in so far as the settings depend on it."""
        from tuibench.ui.machine_sampler import cpus

        return cpus()

    def sample_machine(self) -> MachineSample:
        """Return how busy the machine is."""
        from tuibench.ui.machine_sampler import sample_machine

        return sample_machine()

    # Sessions -------------------------------------------------------------------------------------------------------

    def sessions(self, n_read: int | None = None, n_headers: int | None = None) -> list[SessionSummary]:
        """Return the sessions that are stored.

        Args:
            n_read: How many files to read whole; None for all.
            n_headers: Of how many others the header.
        """
        from tuibench.store.catalogue import list_sessions

        folders = (paths.sessions_dir(), paths.sample_sessions())
        return list_sessions(folders, index=paths.session_index(), n_read=n_read, n_headers=n_headers)

    def load_session(self, path: Path) -> Session:
        """Return a session.

        Raises:
            SessionError: It cannot be read.
        """
        from tuibench.store.session import load

        return load(path)

    def stored_state(self, session: Session, *, under_way: bool = False) -> RunState:
        """Return what is known of a stored run, whose last trials are still to come where it is `under_way`."""
        from tuibench.store.replay import stored_state

        return stored_state(session, under_way=under_way)

    def under_way(self, path: Path) -> bool:
        """Return whether a session that lacks trials is being measured now, here or by another program."""
        from tuibench.store.under_way import is_measured

        return is_measured(path)

    def timeline(self, session: Session) -> Timeline:
        """Return a stored session as a state for every moment of it."""
        from tuibench.store.timeline import Timeline

        return Timeline(session)

    def divergences_ns(self, session: Session, reference: str) -> dict[str, int]:
        """Return when each method's text first differs from the reference's."""
        from tuibench.store.timeline import divergences_ns

        return divergences_ns(session, reference)

    def compare(self, sessions: Sequence[Path], yardstick: str | None) -> SideBySide:
        """Lay sessions side by side.

        Args:
            sessions: Their files.
            yardstick: The method that speeds are stated against; None for the usual one.

        Raises:
            SessionError: One cannot be read.
        """
        from tuibench.store.session import load
        from tuibench.store.side_by_side import side_by_side

        return side_by_side([(path, load(path)) for path in sessions], yardstick)

    def export(self, comparison: Comparison, name: str, stem: str) -> Path:
        """Write a comparison into the current folder; returns the file.

        Raises:
            OSError: It cannot be written.
            ImportError: The format needs a library that is not installed; the message names it.
        """
        from tuibench.store.export.formats import export_here

        return export_here(comparison, name, stem)

    # Taking a method home -------------------------------------------------------------------------------------------

    def why_not_taken(self, method: str) -> str | None:
        """Return why a method cannot be taken home; None for one that can."""
        from tuibench.deploy.methods import why_not

        return why_not(method)

    def take_folder(self, model: str, method: str) -> Path:
        """Return where a method of a model goes."""
        from tuibench.ui.take_process import free_folder

        return free_folder(model, method)

    def take(self, request: TakeRequest) -> AsyncGenerator[TakeEvent, None]:
        """Make a folder of a method."""
        from tuibench.ui.take_process import take_in_child

        return take_in_child(request)

    # Time -----------------------------------------------------------------------------------------------------------

    def clock_s(self) -> float:
        """Return a time that only goes forward."""
        return time.monotonic()

    def own_cpu_s(self) -> float:
        """Return the CPU time of this process."""
        return time.process_time()
