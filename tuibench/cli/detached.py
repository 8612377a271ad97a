"""The process of a detached run: `python -m tuibench.cli.detached FOLDER`, which holds the order."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from tuibench.cli import BAD_USAGE, INTERRUPTED, OK, SOME_FAILED
from tuibench.cli.arguments import UsageError
from tuibench.cli.progress import PlainProgress
from tuibench.cli.run import check_type, check_writable, exit_code, measure_to_end
from tuibench.core.run.spec import RunSpec
from tuibench.machine.bandwidth import read_bandwidth
from tuibench.machine.fingerprint import default_threads
from tuibench.measure.detached.job import Job
from tuibench.measure.detached.order import Order
from tuibench.measure.hosts.find import RefusedError, model_with
from tuibench.measure.run.measurement import Measurement
from tuibench.measure.run.resume import Continuation
from tuibench.store.schema import SessionError

_WORDS = {OK: "measured to the end", SOME_FAILED: "measured to the end; some rows failed", INTERRUPTED: "stopped"}


def measure(job: Job) -> int:
    """Measure what a job asks for, and write down how that ended; return the exit code."""
    try:
        code = _measure(job, job.order())
    except (UsageError, RefusedError, SessionError) as error:
        job.note_end(BAD_USAGE, f"not measured: {error}")
        return BAD_USAGE
    except BaseException as error:
        job.note_end(SOME_FAILED, f"it broke off: {type(error).__name__}: {error}; its log is {job.log}")
        raise
    job.note_end(code, _WORDS[code])
    return code


def _measure(job: Job, order: Order) -> int:
    spec = _spec(job, order)
    sessions = job.sessions()
    check_writable(sessions)
    model = model_with(spec.model, order.model_digest)
    check_type(model, spec)
    resume = Continuation.read(Path(order.resume), retry_failed=order.retry_failed) if order.resume else None
    measurement = Measurement(spec, model, sessions, bandwidth=read_bandwidth, resume=resume, keeps_records=False)
    job.note_session(measurement.session_file)
    state = asyncio.run(measure_to_end(measurement, PlainProgress(), stream=False))
    return exit_code(state, measurement)


def _spec(job: Job, order: Order) -> RunSpec:
    """Return the run with what is this machine's: threads, and where its calibration text lies."""
    spec, n_threads = order.spec, order.n_threads
    if n_threads is None:
        n_threads = default_threads()
        sweep = spec.sweep and msgspec.structs.replace(spec.sweep, n_threads=(n_threads,))
        spec = msgspec.structs.replace(spec, n_threads=n_threads, sweep=sweep)
    if order.calibration_text is not None:
        text = job.folder / "calibration.txt"
        text.write_text(order.calibration_text, encoding="utf-8")
        calibration = msgspec.structs.replace(spec.calibration, file=str(text.absolute()))
        spec = msgspec.structs.replace(spec, calibration=calibration)
    return spec


if __name__ == "__main__":
    sys.exit(measure(Job(Path(sys.argv[1]))))
