"""The one method that a verb puts to use, and the model it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tuibench.cli.arguments import UsageError
from tuibench.cli.models import ensure_model
from tuibench.cli.run_settings import calibration
from tuibench.core.format import printable
from tuibench.machine.fingerprint import default_threads
from tuibench.machine.memory_room import free_memory_bytes
from tuibench.methods import UnknownMethodError, resolve_methods
from tuibench.models.local import DEFAULT_MODEL
from tuibench.models.memory_needs import Fit, need_of
from tuibench.models.model_size import size_of
from tuibench.serving.messages import Load

if TYPE_CHECKING:
    import argparse

    from tuibench.models.local import LocalModel


def named_method(text: str) -> str:
    """Return the id of a method.

    Raises:
        UsageError: It names none, or several.
    """
    try:
        named = resolve_methods(text)
    except UnknownMethodError as error:
        raise UsageError(str(error)) from error
    if len(named) != 1:
        raise UsageError(f"one method at a time, not {len(named)}: {', '.join(named)}")
    return named[0]


def what_to_load(options: argparse.Namespace) -> tuple[Load, LocalModel]:
    """Return what the command line names, the model pulled first if this disk lacks it.

    Raises:
        UsageError: There is no such method, model or calibration text, or not enough memory.
    """
    method, calibrated = named_method(options.method), calibration(options)
    model = ensure_model(options.model or DEFAULT_MODEL)
    check_memory(method, model)
    load = Load(
        method=method,
        model_dir=str(model.directory.absolute()),
        n_threads=options.threads or default_threads(),
        calibration=calibrated,
    )
    return load, model


def check_memory(method: str, model: LocalModel) -> None:
    """Refuse a method that would be killed for its memory, as a run does; what nobody can tell is let through.

    Raises:
        UsageError: It takes more than is free.
    """
    need = need_of(method, size_of(model.directory), 0)
    refusal = None if need is None else Fit(need, free_memory_bytes()).refusal(method)
    if refusal is not None:
        raise UsageError(refusal)


def say(message: str) -> None:
    """Tell a person, not a program."""
    print(printable(message), file=sys.stderr, flush=True)
