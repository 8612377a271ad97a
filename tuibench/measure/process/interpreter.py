"""Which interpreter a method's worker runs on: this one, or that of the runtime it needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tuibench.core.run.events import FailureKind
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.methods import available_methods
from tuibench.models.home import home_variables
from tuibench.runtimes.environment import find_environment, missing, runtime_variables


def in_runtime(method_id: str, command: Sequence[str]) -> tuple[Sequence[str], dict[str, str]]:
    """Return the command that starts a method's worker, and the environment variables that it needs.

    Args:
        method_id: The method.
        command: How workers on this interpreter are started.

    Raises:
        WorkerFailureError: The method's runtime is not installed.
    """
    method = available_methods().get(method_id)
    if method is None or method.runtime is None:
        return command, {}
    if (why := missing(method.runtime)) is not None:
        raise WorkerFailureError(FailureKind.UNSUPPORTED, why)
    found = find_environment(method.runtime)
    assert found is not None  # noqa: S101 - else it is missing
    words = [str(found.python) if word == sys.executable else word for word in command]
    return words, {**runtime_variables(), **home_variables()}
