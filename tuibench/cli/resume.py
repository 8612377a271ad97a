"""`tuibench run --resume SESSION`: what the command line asks for, held against what the session was measured with."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from tuibench import paths
from tuibench.cli.arguments import UsageError
from tuibench.cli.endpoints import given_endpoint, resumed_endpoints
from tuibench.cli.models import ensure_model
from tuibench.cli.run_hosts import hosts_of_session
from tuibench.cli.run_settings import calibration, eval_text, given_settings
from tuibench.cli.sweeps import running_text
from tuibench.core.format import printable
from tuibench.core.run.control import is_control
from tuibench.measure.run.resume import Continuation, obstacles, other_texts, resumed_spec
from tuibench.models.local import DEFAULT_MODEL, LocalModel, ModelError
from tuibench.models.origin.sources import find_model
from tuibench.store.catalogue import find_session
from tuibench.store.schema import SessionError

if TYPE_CHECKING:
    import argparse

    from tuibench.core.run.spec import RunSpec
    from tuibench.store.schema import ModelHeader


@dataclass(frozen=True, slots=True)
class ResumedRun:
    """What to measure, with what, and where it goes on."""

    spec: RunSpec
    model: LocalModel
    continuation: Continuation


def resumed_run(options: argparse.Namespace) -> ResumedRun:
    """Return the run that goes on.

    Raises:
        UsageError: There is no such session, or new trials would not be comparable with its own.
    """
    try:
        folders = (paths.sessions_dir(options.output), paths.sessions_dir())
        path = find_session(options.resume, folders, index=paths.session_index())
        continuation = Continuation.read(path, retry_failed=options.retry_failed)
    except SessionError as error:
        raise UsageError(printable(str(error))) from error
    session, header = continuation.session, continuation.session.header
    for problem in session.dropped:
        print(printable(f"{path}: {problem}"), file=sys.stderr)
    model = _model(options.model, header.model)
    spec = resumed_spec(
        header, model=options.model or model.name, eval_text=eval_text(options), timeout_s=options.timeout
    )
    hosts = hosts_of_session(spec.methods)
    servers = resumed_endpoints(spec.endpoints, given_endpoint(options))
    text = running_text(options) if spec.sweep is not None and spec.sweep.needs_text else None
    threads = {name: host.n_threads for name, host in session.hosts.items()}
    spec = msgspec.structs.replace(
        spec,
        calibration=calibration(options),
        endpoints=servers,
        hosts=hosts,
        threads_of_hosts=threads,
        running_text=text,
    )
    reasons = [*obstacles(session, model), *other_texts(header, spec)]
    for name, asked in given_settings(options).items():
        if asked != getattr(spec, name):
            reasons.append(f"it was measured with other {_OPTIONS.get(name, name)}; leave the option out")
    if options.on is not None:
        reasons.append("it is measured on the machines that it began on; leave --on out")
    if options.control and not any(map(is_control, spec.methods)):
        reasons.append("it was measured without --control; leave the option out")
    if reasons:
        raise UsageError(printable(f"{path.name} cannot be resumed: {'; '.join(reasons)}. Start a new session instead"))
    return ResumedRun(spec, model, continuation)


_OPTIONS = {
    "n_trials": "--trials",
    "n_warmup": "--warmup",
    "n_threads": "--threads",
    "min_time_s": "--min-time",
    "budget_s": "--budget",
    "sampling": "sampling options",
    "max_new_tokens": "--max-new-tokens",
    "max_trials": "--max-trials",
    "methods": "--methods",
    "sweep": "shapes",
    "prompt": "prompt",
    "raw": "--raw",
    "prompt_date": "--prompt-date",
    "name": "--name",
}


def _model(name: str | None, measured: ModelHeader) -> LocalModel:
    """Return the model as it is called here; one that is not in the cache has to be named."""
    if name is not None or measured.name == DEFAULT_MODEL:
        return ensure_model(name or DEFAULT_MODEL)
    try:
        found = find_model(measured.name)
    except ModelError as error:
        raise UsageError(printable(str(error))) from error
    if found is None:
        raise UsageError(printable(f"where is the model {measured.name}? Name its folder or hub id with --model"))
    return found
