"""What methods took in the sessions that are there: for a guess of what they will take."""

from __future__ import annotations

from tuibench import paths
from tuibench.core.run.eta import MethodCost, costs_of
from tuibench.machine.fingerprint import machine_header
from tuibench.store.catalogue import list_sessions
from tuibench.store.schema import SessionError
from tuibench.store.session import load

_N_HEADERS = 100
_N_LOOKED_AT = 8
"""Sessions, of which few hold all methods; each is a file to read."""


def earlier_costs(model: str) -> dict[str, MethodCost]:
    """Return what each method took on a model in the newest of the user's sessions that measured it on this CPU."""
    found: dict[str, MethodCost] = {}
    cpu = machine_header().cpu
    index = paths.session_index()
    known = list_sessions((paths.sessions_dir(),), index=index, n_read=2 * _N_LOOKED_AT, n_headers=_N_HEADERS)
    for summary in [each for each in known if (each.model, each.cpu) == (model, cpu)][:_N_LOOKED_AT]:
        if summary.decode_tps.keys() <= found.keys():
            continue
        try:
            session = load(summary.path)
        except SessionError:  # removed meanwhile
            continue
        found = costs_of(session.trials, session.quality) | found
    return found
