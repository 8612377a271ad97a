"""`tuibench run --detach` and `--batch`: a run that goes on by itself, here, on a host or in a queue."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tuibench import paths
from tuibench.cli import OK, SOME_FAILED
from tuibench.cli.arguments import UsageError
from tuibench.cli.models import ensure_model
from tuibench.cli.resume import resumed_run
from tuibench.cli.run import check_type, check_writable
from tuibench.cli.run_hosts import named_hosts
from tuibench.cli.run_settings import run_spec
from tuibench.core.format import printable, printable_line
from tuibench.core.run.host import THIS_MACHINE, Host
from tuibench.measure.detached.far import reached
from tuibench.measure.detached.job import JobError, JobState
from tuibench.measure.detached.order import Order, Queued
from tuibench.measure.detached.slurm import allocation
from tuibench.measure.detached.start import start
from tuibench.measure.hosts.host import HostUnusableError

if TYPE_CHECKING:
    import argparse

    from tuibench.core.run.spec import RunSpec
    from tuibench.models.local import LocalModel


def run_detached(options: argparse.Namespace) -> int:
    """Start the run on each machine that is named, and say how to follow it.

    Raises:
        UsageError: It cannot be started.
    """
    hosts = named_hosts(options.on)
    _check(hosts, options)
    sessions = paths.sessions_dir(options.output)
    order, model = _order(options, sessions)
    sound = True
    for alike in _alike(hosts) if options.batch else [(host,) for host in hosts]:
        try:
            states = _begun(alike, order, model, sessions, batch=options.batch)
        except (JobError, HostUnusableError) as error:
            _say(str(error))
            sound = False
        else:
            for host, state in zip(alike, states, strict=True):
                sound &= _tell(host, state, sessions)
    return OK if sound else SOME_FAILED


def _alike(hosts: tuple[Host | None, ...]) -> list[tuple[Host | None, ...]]:
    """Return hosts by what one job script can be submitted for: where, as what, and with which allocation."""
    found: dict[bytes, list[Host | None]] = {}
    for host in hosts:
        assert host is not None  # noqa: S101 - this machine has no queue
        there, step_options = host.submitting()
        same = msgspec.structs.replace(there, name="", price_per_hour=None)
        key = msgspec.json.encode((same, allocation(step_options or ())))
        found.setdefault(key, []).append(host)
    return [tuple(each) for each in found.values()]


def _check(hosts: tuple[Host | None, ...], options: argparse.Namespace) -> None:
    others = [host for host in hosts if host is not None]
    if options.batch and len(others) != len(hosts):
        raise UsageError("--batch puts a run into a host's queue: name the host with --on")
    if options.resume is not None and others:
        raise UsageError("a session goes on where it lies: leave --on out")
    if others and options.output is not None:
        raise UsageError("--output is a folder of this machine: leave it out, or --on")
    if others and options.endpoint is not None:
        raise UsageError(f"a server is asked from this machine: --on {THIS_MACHINE}")
    for host in others if not options.batch else ():
        if host.submitting()[1] is not None:
            raise UsageError(f"what srun starts on {host.name} ends with it: --batch instead of --detach")


def _order(options: argparse.Namespace, sessions: Path) -> tuple[Order, LocalModel]:
    options.on = None  # each machine measures all of it, under its plain name
    resumed = resumed_run(options) if options.resume is not None else None
    spec: RunSpec = resumed.spec if resumed else run_spec(options)
    check_writable(sessions)
    model = resumed.model if resumed else ensure_model(spec.model)
    check_type(model, spec)
    calibration, text = spec.calibration, None
    if calibration.file is not None:
        text = _text(Path(calibration.file))
        spec = msgspec.structs.replace(spec, calibration=msgspec.structs.replace(calibration, file=None))
    order = Order(
        spec=spec,
        model_digest=model.digest,
        n_threads=spec.n_threads if resumed or options.threads else None,
        calibration_text=text,
        resume=str(resumed.continuation.path.absolute()) if resumed else None,
        retry_failed=options.retry_failed,
    )
    return order, model


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text (byte {error.start})") from error


def _begun(
    hosts: tuple[Host | None, ...], order: Order, model: LocalModel, sessions: Path, *, batch: bool
) -> list[JobState]:
    """Start a run on each of some hosts that are alike, and return how they stand."""
    others = [host for host in hosts if host is not None]
    if not others:
        return [start(order, sessions)]
    spec = msgspec.structs.replace(order.spec, model=model.name)  # by which it was brought there
    orders = [msgspec.structs.replace(order, spec=spec, host=host.name) for host in others]
    with reached(others[0]) as far:
        if not batch:
            return [far.start(orders[0])]
        options = [host.submitting()[1] or () for host in others]
        return far.submit(
            tuple(Queued(order=each, step_options=given) for each, given in zip(orders, options, strict=True))
        )


def _tell(host: Host | None, state: JobState, sessions: Path) -> bool:
    """Say where it is measured, or why not; return whether it is."""
    where = THIS_MACHINE if host is None else host.name
    if state.over and state.exit_code != OK:
        _say(f"{where}: {state.words}")
        return False
    name = state.session.removesuffix(".toml") if state.session else None
    known_as = host.name if host else name or ""
    _say(f"{where}: {state.words}; `tuibench attach {known_as}` follows it, with --stop ends it")
    if state.session is not None:
        print(printable(os.path.join(sessions, state.session) if host is None else state.session), flush=True)  # noqa: PTH118
    return True


def _say(text: str) -> None:
    print(printable_line(text), file=sys.stderr, flush=True)
