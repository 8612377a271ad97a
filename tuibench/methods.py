"""The methods that are installed, ours and third parties', found through the entry-point group `tuibench.methods`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from tuibench.core.spec import Method

if TYPE_CHECKING:
    from tuibench.engines.base import Engine

GROUP = "tuibench.methods"


class UnknownMethodError(ValueError):
    """A method was asked for that nothing installed provides."""


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def engine_class(method_id: str) -> type[Engine]:
    """Return the engine class of a method; importing it loads no model library.

    Raises:
        UnknownMethodError: Nothing installed provides the method.
    """
    point = _entry_points().get(method_id)
    if point is None:
        known = ", ".join(available_methods())
        raise UnknownMethodError(f"unknown method {method_id!r}; known: {known}")
    loaded: type[Engine] = point.load()
    return loaded


@cache
def available_methods() -> dict[str, Method]:
    """Return all installed methods by id, lower rungs of the ladder first."""
    found = {name: engine_class(name).method for name in _entry_points()}

    def height(method: Method) -> int:
        """Return the rungs below; a method whose parent is not installed stands at the top."""
        if method.parent is None:
            return 0
        parent = found.get(method.parent)
        return len(found) if parent is None else height(parent) + 1

    ordered = sorted(found.values(), key=lambda method: (height(method), method.id))
    return {method.id: method for method in ordered}


def ladder_parents() -> dict[str, str | None]:
    """Return each installed method's next rung down; None for the lowest."""
    return {method.id: method.parent for method in available_methods().values()}


def exact_methods() -> frozenset[str]:
    """Return the installed methods that promise the reference's model."""
    return frozenset(method.id for method in available_methods().values() if method.promises_the_model)


def resolve_methods(names: str) -> tuple[str, ...]:
    """Return the method ids of a comma-separated list; `all` and `ladder` mean every installed one, in ladder order.

    Raises:
        UnknownMethodError: A name is unknown, or the list is empty.
    """
    known = available_methods()
    asked = [name.strip() for name in names.split(",") if name.strip()]
    if asked in (["all"], ["ladder"]):
        return tuple(known)
    if not asked:
        raise UnknownMethodError(f"no method named; known: {', '.join(known)}")
    for name in asked:
        if name not in known:
            raise UnknownMethodError(f"unknown method {name!r}; known: {', '.join(known)}")
    return tuple(dict.fromkeys(asked))
