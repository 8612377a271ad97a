"""A session's numbers for other programs."""

from __future__ import annotations

import msgspec

from tuibench.core.metrics import METRICS, speedup, summarise
from tuibench.core.record import TrialRecord
from tuibench.core.state import MethodState, RunState


def as_json_line(record: TrialRecord) -> str:
    """Return one trial as a line of JSON."""
    return msgspec.json.encode(record).decode()


def as_json(state: RunState) -> str:
    """Return the result per method, with every metric's median, range and number of trials."""
    methods = list(state.methods.values())
    reference = methods[0].measured if methods else ()
    result = {"methods": [_method(method, reference) for method in methods]}
    return msgspec.json.format(msgspec.json.encode(result), indent=2).decode()


def _method(method: MethodState, reference: tuple[TrialRecord, ...]) -> dict[str, object]:
    failure = method.failure
    return {
        "method": method.method,
        "status": method.status.value,
        "metrics": {metric.id: summarise(metric, method.measured) for metric in METRICS},
        "speedup": speedup(method.measured, reference),
        "failure": failure and {"kind": failure.failure_kind, "message": failure.failure_message},
    }
