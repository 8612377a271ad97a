"""What a widget asks of its parts while it is being taken down."""

from __future__ import annotations

from textual._context import active_message_pump
from textual.css.query import NoMatches
from textual.dom import DOMNode, NoScreen
from textual.worker import WorkerFailed, get_current_worker


def is_teardown_error(error: Exception) -> bool:
    """Tell whether an error only says that a screen was closed while it was being built, or told something.

    Textual takes a screen's parts away before its last messages are dispatched, the one that it is mounted among them:
    whoever closes it quickly enough has them ask for parts that are gone. That is nothing to end the program for.
    """
    in_worker = isinstance(error, WorkerFailed)
    reason = error.error if isinstance(error, WorkerFailed) else error
    node = get_current_worker().node if in_worker else active_message_pump.get()
    if not isinstance(reason, NoMatches | NoScreen) or not isinstance(node, DOMNode):
        return False
    # There is no public way to learn it.
    return node.app._exit or any(each._pruning or each._closing for each in node.ancestors_with_self)  # noqa: SLF001
