"""`tuibench take`: a folder that runs a method where tuibench is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tuibench.cli import INTERRUPTED, OK, SOME_FAILED
from tuibench.cli.arguments import UsageError
from tuibench.cli.ended_in_order import ended_in_order
from tuibench.cli.models import ensure_model
from tuibench.cli.one_method import check_memory, named_method, say
from tuibench.cli.run_settings import calibration
from tuibench.cli.stored import open_session
from tuibench.cli.temporary_cache import writable_cache
from tuibench.core.format import printable
from tuibench.deploy.in_child import FolderError, TakeError, check_free, take_in_child
from tuibench.deploy.measured import MeasuredRow, newest_row, row_of, why_not_its_row
from tuibench.deploy.messages import TakeRequest
from tuibench.deploy.methods import why_not
from tuibench.machine.fingerprint import default_threads
from tuibench.models.local import DEFAULT_MODEL

if TYPE_CHECKING:
    import argparse

    from tuibench.core.run.spec import Calibration
    from tuibench.models.local import LocalModel


def run(options: argparse.Namespace) -> int:
    """Make the folder; print its path on standard output, everything else on standard error."""
    with ended_in_order(), writable_cache():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    method, calibrated = _method(options.method), calibration(options)
    name = options.model or DEFAULT_MODEL
    try:
        if options.output is not None:
            check_free(options.output)  # before anything is pulled
        model = ensure_model(name)
        folder = options.output or Path(f"{re.sub(r'[^A-Za-z0-9_.+-]', '-', model.name)}-{method}")
        check_memory(method, model)
        row = _row(options.session, method, model, calibrated)
        request = TakeRequest(
            method=method,
            model_dir=str(model.directory.absolute()),
            model_name=model.name,
            source=model.source,
            folder="",
            n_threads=default_threads() if row is None else row.n_threads,
            calibration=calibrated,
            measured=() if row is None else row.lines,
            measured_decode_tps=None if row is None else row.decode_tps,
        )
        take_in_child(request, folder, say)
    except FolderError as error:
        raise UsageError(printable(str(error))) from error
    except TakeError as error:
        say(f"{method} cannot be taken: {error}; nothing was left in {folder}")
        return SOME_FAILED
    except KeyboardInterrupt:
        say("interrupted; no folder was made")
        return INTERRUPTED
    say(f'checked: it gives the tokens of {method}; try `python {folder / "generate.py"} "Why is the sky blue?"`')
    print(printable(str(folder)))
    return OK


def _method(text: str) -> str:
    method = named_method(text)
    if reason := why_not(method):
        raise UsageError(printable(reason))
    return method


def _row(name: str | None, method: str, model: LocalModel, calibrated: Calibration) -> MeasuredRow | None:
    if name is None:
        return newest_row(method, model, calibrated)
    path, session = open_session(name)
    if reason := why_not_its_row(session, method, model, calibrated):
        raise UsageError(printable(f"{path.name}: {reason}"))
    return row_of(path, session, method)
