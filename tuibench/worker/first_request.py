"""What a worker is told first: its threads must be set before any library that computes is imported."""

from __future__ import annotations

from tuibench.core.run.events import PROTOCOL_VERSION
from tuibench.core.run.spec import LoadRequest
from tuibench.worker.pipe import RequestReader, UnexpectedRequestError


def first_request(requests: RequestReader) -> LoadRequest:
    """Wait for the load request.

    Raises:
        UnexpectedRequestError: Something else came, or it is of another protocol.
        msgspec.DecodeError: The line is not a request.
    """
    load = requests.next()
    if not isinstance(load, LoadRequest) or load.protocol != PROTOCOL_VERSION:
        raise UnexpectedRequestError(f"expected a load request of protocol {PROTOCOL_VERSION}")
    return load
