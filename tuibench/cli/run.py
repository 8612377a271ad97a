"""`tuibench run`: a comparison without the dashboard."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.cli import INTERRUPTED, OK, SOME_FAILED
from tuibench.cli.arguments import UsageError, run_spec
from tuibench.cli.machine_lines import machine_lines
from tuibench.cli.models import ensure_model
from tuibench.cli.progress import Progress, open_progress
from tuibench.cli.result_table import result_json, result_lines
from tuibench.core.run_events import TrialEnded
from tuibench.core.state import MethodStatus, RunState, fold
from tuibench.measure.bandwidth import read_bandwidth
from tuibench.measure.effective_cpus import effective_cpus
from tuibench.measure.measurement import Measurement
from tuibench.store.export.json_text import as_json_line

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Measure; print the result on standard output, the session's path last on standard error."""
    spec = run_spec(options)
    sessions = paths.sessions_dir(options.output)
    _check_writable(sessions)
    model = ensure_model(spec.model)
    if doubt := effective_cpus().doubt(spec.n_threads):
        print(f"tuibench: {doubt[0]}: expect slow results", file=sys.stderr)
    measurement = Measurement(spec, model, sessions, bandwidth=read_bandwidth)
    with open_progress() as progress:
        state = asyncio.run(_measure(measurement, progress, stream=options.format == "jsonl"))
    if options.format == "table":
        print("\n".join([*result_lines(state, greedy=spec.sampling.greedy), *machine_lines(state)]))
    elif options.format == "json":
        print(result_json(state, greedy=spec.sampling.greedy))
    if measurement.session_path is not None:
        sys.stdout.flush()
        print(measurement.session_path, file=sys.stderr)
    if state.cancelled:
        return INTERRUPTED
    return OK if all(method.status is MethodStatus.DONE for method in state.methods.values()) else SOME_FAILED


async def _measure(measurement: Measurement, progress: Progress, *, stream: bool) -> RunState:
    """Run to the end; Ctrl+C, SIGTERM or a lost terminal stop it in order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, measurement.stop)
    state = RunState()
    async with aclosing(measurement.events()) as events:
        async for event in events:
            state = fold(state, event)
            progress.update(state, event)
            if stream and isinstance(event, TrialEnded):
                print(as_json_line(event.record), flush=True)
    return state


def _check_writable(folder: Path) -> None:
    """Refuse a folder that cannot take the session, before an hour is spent on it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}; name another with --output") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder}: no permission to write there; name another with --output")
