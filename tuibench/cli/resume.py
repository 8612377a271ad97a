"""`tuibench run --resume SESSION`: what the command line brings to the session that goes on."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.cli.arguments import UsageError
from tuibench.cli.endpoints import given_endpoint, server_here
from tuibench.cli.models import ensure_model
from tuibench.cli.run_hosts import settings_hosts
from tuibench.cli.run_settings import calibration, eval_text, given_settings
from tuibench.cli.sweeps import running_text
from tuibench.core.format import printable
from tuibench.measure.run.resume_offer import GoOn, ResumedRun, resume_offer
from tuibench.measure.run.resume_request import Asked, GivenTexts, Here, ResumeRequest
from tuibench.models.local import DEFAULT_MODEL, LocalModel, ModelError
from tuibench.models.origin.sources import find_model
from tuibench.store.catalogue import find_session
from tuibench.store.schema import SessionError

if TYPE_CHECKING:
    import argparse


def resumed_run(options: argparse.Namespace) -> ResumedRun:
    """Return the run that goes on.

    Raises:
        UsageError: There is no such session, or new trials would not be comparable with its own.
    """
    server = partial(server_here, given_endpoint(options))
    here = Here(find_model=partial(_find, options.model), server=server, hosts=settings_hosts)
    try:
        offer = resume_offer(_request(options), here)
    except SessionError as error:
        raise UsageError(printable(str(error))) from error
    path = offer.continuation.path
    for problem in offer.continuation.session.dropped:
        print(printable(f"{path}: {problem}"), file=sys.stderr)
    run = offer.run(GoOn.FAILED_TOO if options.retry_failed else GoOn.MISSING)
    if run is None:
        reasons = "; ".join(offer.obstacles)
        raise UsageError(printable(f"{path.name} cannot be resumed: {reasons}. Start a new session instead"))
    return run


def _request(options: argparse.Namespace) -> ResumeRequest:
    """Return what the options ask for.

    Raises:
        SessionError: There is no such session.
        UsageError: The options cannot be meant.
    """
    if options.on is not None:
        raise UsageError("a session goes on on the machines that it began on; leave --on out")
    folders = (paths.sessions_dir(options.output), paths.sessions_dir())
    return ResumeRequest(
        path=find_session(options.resume, folders, index=paths.session_index()),
        model=options.model,
        texts=GivenTexts(eval_text(options), running_text(options), calibration(options)),
        timeout_s=options.timeout,
        asked=tuple(Asked(name, value, _OPTIONS.get(name, name)) for name, value in given_settings(options).items()),
        control=options.control,
    )


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


def _find(named: str | None, name: str) -> LocalModel | None:
    """Return a model; one that is named, or the default one, is pulled if this disk lacks it.

    Raises:
        UsageError: It cannot be had, or used.
    """
    if name in {named, DEFAULT_MODEL}:
        return ensure_model(name)
    try:
        return find_model(name)
    except ModelError as error:
        raise UsageError(printable(str(error))) from error
