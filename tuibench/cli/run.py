"""`tuibench run`: a comparison without the dashboard."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import aclosing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.cli import INTERRUPTED, OK, SOME_FAILED
from tuibench.cli.arguments import UsageError
from tuibench.cli.models import ensure_model
from tuibench.cli.progress import RunProgress, open_progress
from tuibench.cli.result_table import result_json, result_lines
from tuibench.cli.resume import resumed_run
from tuibench.cli.run_settings import run_spec
from tuibench.cli.temporary_cache import writable_cache
from tuibench.core.format import printable
from tuibench.core.run.host import hosts_of
from tuibench.core.run.run_events import QualityEnded, TrialEnded
from tuibench.core.run.spec import RunSpec
from tuibench.core.run.state import MethodStatus, RunState
from tuibench.machine.bandwidth import read_bandwidth
from tuibench.machine.effective_cpus import effective_cpus
from tuibench.measure.run.measurement import Measurement
from tuibench.measure.run.resume_offer import ResumedRun
from tuibench.methods import are_built_in
from tuibench.models.folder import read_config
from tuibench.models.known_types import is_known_type
from tuibench.store.export.json_text import as_json_line
from tuibench.store.replay import stored_state
from tuibench.store.schema import SessionError

if TYPE_CHECKING:
    import argparse

    from tuibench.core.run.spec import RunSpec
    from tuibench.models.local import LocalModel


def run(options: argparse.Namespace) -> int:
    """Measure; print the result on standard output, the session's path last on standard error."""
    if options.detach or options.batch:
        from tuibench.cli.detach import run_detached  # noqa: PLC0415 - another process measures then

        return run_detached(options)
    with writable_cache():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    resumed = resumed_run(options) if options.resume is not None else None
    state, measurement = measure(resumed.spec if resumed else run_spec(options), options, resumed)
    try:
        _report(options.format, state, measurement)
    except OSError:
        if not state.cancelled:  # the terminal that is gone was the reason to stop
            raise
    return exit_code(state, measurement)


def exit_code(state: RunState, measurement: Measurement) -> int:
    """Return how a run has ended."""
    if state.cancelled:
        return INTERRUPTED
    all_done = all(method.status is MethodStatus.DONE for method in state.methods.values())
    return OK if all_done and not measurement.n_unsaved else SOME_FAILED


def measure(
    spec: RunSpec, options: argparse.Namespace, resumed: ResumedRun | None = None
) -> tuple[RunState, Measurement]:
    """Measure to the end, with progress on standard error; return how it ended.

    Raises:
        UsageError: It cannot be measured; the message says what would help.
    """
    sessions = resumed.continuation.path.parent if resumed else paths.sessions_dir(options.output)
    check_writable(sessions)
    model = resumed.model if resumed else ensure_model(spec.model)
    check_type(model, spec)
    here = None in hosts_of(spec.methods)  # on other machines the lamp tells
    if here and (doubt := effective_cpus().doubt(spec.n_threads)):
        print(f"tuibench: {doubt[0]}: expect slow results", file=sys.stderr)
    continuation = resumed.continuation if resumed else None
    measurement = Measurement(spec, model, sessions, bandwidth=read_bandwidth, resume=continuation, keeps_records=False)
    with open_progress() as progress:
        try:
            state = asyncio.run(measure_to_end(measurement, progress, stream=options.format == "jsonl"))
        except SessionError as error:
            raise UsageError(printable(str(error))) from error
    return state, measurement


def _report(output: str, state: RunState, measurement: Measurement) -> None:
    if output == "table":
        print("\n".join(result_lines(_result(state, measurement))))
    elif output == "json":
        print(result_json(_result(state, measurement)))
    sys.stdout.flush()
    tell_session(state, measurement)


def tell_session(state: RunState, measurement: Measurement, verb: str = "run") -> None:
    """Print on standard error where the session is, and how to go on with one that is not complete."""
    if measurement.n_unsaved:
        print(f"tuibench: {measurement.n_unsaved} results could not be saved", file=sys.stderr)
    if measurement.session_path is not None:
        if state.cancelled:
            name = printable(measurement.session_path.stem)
            print(f"`tuibench {verb} --resume {name}` measures what is missing", file=sys.stderr)
        print(printable(str(measurement.session_path)), file=sys.stderr)


async def measure_to_end(measurement: Measurement, progress: RunProgress, *, stream: bool) -> RunState:
    """Run to the end; Ctrl+C, SIGTERM or a lost terminal stop it in order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What `nohup` or a shell's `&` told us to ignore stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, measurement.stop)
    state = RunState()
    async with aclosing(measurement.events()) as events:
        async for event, state in events:
            progress.update(state, event)
            if stream and isinstance(event, TrialEnded | QualityEnded):
                print(as_json_line(event.record), flush=True)
    return state


def _result(state: RunState, measurement: Measurement) -> RunState:
    """Return the state with its trials, which a run, as long as it may be, does not keep in memory."""
    if not state.n_done:
        return state
    try:
        return stored_state(measurement.session())
    except SessionError as error:  # somebody moved the file
        print(f"tuibench: {printable(str(error))}", file=sys.stderr)
        return state


def check_type(model: LocalModel, spec: RunSpec) -> None:
    """Refuse a model that none of the methods can run, before anything is made for it."""
    model_type = read_config(model.directory, model.name).get("model_type")
    if isinstance(model_type, str) and not is_known_type(model_type) and are_built_in(spec.methods):
        raise UsageError(
            printable(
                f"transformers {version('transformers')} does not know the model type {model_type!r} of {model.name}; "
                "use a release that does, or another model"
            )
        )


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot take the session, before an hour is spent on it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}; name another with --output") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder}: no permission to write there; name another with --output")
