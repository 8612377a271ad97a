"""A method measured a second time in its run, as a row of its own: what equal methods differ by there, seen.

It is called as the method with a suffix, which no installed method can have: so it needs no field in any file, and
whatever reads a session shows it as one row more.
"""

from __future__ import annotations

from tuibench.core.run.host import without_host

_SUFFIX = " again"


def control_of(method: str) -> str:
    """Return what the second appearance of a method is called."""
    return method + _SUFFIX


def is_control(method: str) -> bool:
    """Return whether a row is the second appearance of a method: measured like any other, never recommended."""
    return without_host(method).endswith(_SUFFIX)


def method_of(name: str) -> str:
    """Return the method that a row measures, on whatever machine."""
    return without_host(name).removesuffix(_SUFFIX)
