"""The methods that are installed, ours and third parties', found through the entry-point group `tuibench.methods`.

A plug-in is somebody else's code: one that cannot be imported, or provides something else than a method, costs its own
row, which says why, and nothing more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import msgspec

from tuibench.core.format import printable
from tuibench.core.run.control import method_of
from tuibench.core.run.spec import Method

if TYPE_CHECKING:
    from tuibench.engines.base import Engine

GROUP = "tuibench.methods"
_PACKAGE = "tuibench"
_LONGEST_REASON = 300
"""Characters; an exception may quote a whole file."""


class UnknownMethodError(ValueError):
    """A method was asked for that nothing installed provides."""


class UnusableMethodError(Exception):
    """What is installed for a method cannot be used; the message names the package and the reason."""


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def engine_class(method_id: str) -> type[Engine]:
    """Return the engine class of a method, or of its control; importing it loads no model library.

    Raises:
        UnknownMethodError: Nothing installed provides the method.
        UnusableMethodError: What provides it cannot be imported, or is not an engine class of that method.
    """
    method_id = method_of(method_id)
    point = _entry_points().get(method_id)
    if point is None:
        known = ", ".join(_entry_points())
        raise UnknownMethodError(f"unknown method {method_id!r}; known: {known}")
    try:
        loaded: type[Engine] = point.load()
    except (Exception, SystemExit) as error:
        raise UnusableMethodError(_told(point, f"cannot be imported: {type(error).__name__}: {error}")) from error
    if fault := _fault(method_id, loaded):
        raise UnusableMethodError(_told(point, fault))
    return loaded


def _fault(name: str, loaded: Any) -> str | None:  # noqa: ANN401 - whatever a plug-in provides
    """Return why it is not the engine class of a method of this name; None if it is."""
    if not isinstance(loaded, type):
        return "is not a class"
    method = getattr(loaded, "method", None)
    if not isinstance(method, Method):
        return "has no attribute `method` that is a tuibench.core.run.spec.Method"
    try:
        msgspec.convert(msgspec.structs.asdict(method), Method)
    except msgspec.ValidationError as error:
        return f"has a malformed `method`: {error}"
    if not all(library.replace(".", "_").isidentifier() for library in method.requires):
        return f"requires {', '.join(map(repr, method.requires))}, which are not names of modules"
    if method.id != name:
        return f"calls itself {method.id!r}, and {name!r} where it is installed: the two must be the same"
    return None


def _told(point: EntryPoint, fault: str) -> str:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "a package without a name"
    return f"{_one_line(fault)} ({_one_line(point.value)} of {package})"


def _one_line(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 1]}…"


@cache
def available_methods() -> dict[str, Method]:
    """Return all installed methods by id: lower rungs of the ladder first, then peers, then what cannot be used."""
    found = {name: _method(name) for name in _entry_points()}
    found = {name: _without_circle(method, found) for name, method in found.items()}

    def height(method: Method) -> int:
        """Return the rungs below; a method whose parent is not installed stands at the top."""
        if method.parent is None:
            return 0
        parent = found.get(method.parent)
        return len(found) if parent is None else height(parent) + 1

    def place(method: Method) -> tuple[bool, bool, int, str]:
        return method.problem is not None, not method.is_rung, height(method), method.id

    ordered = sorted(found.values(), key=place)
    return {method.id: method for method in ordered}


def _method(name: str) -> Method:
    try:
        method = engine_class(name).method
    except UnusableMethodError as error:
        why = str(error)
        return Method(id=name, title=name, explanation=why, parent=None, precision="unknown", problem=why)
    title, explanation = _one_line(method.title), _one_line(method.explanation)
    return msgspec.structs.replace(method, title=title, explanation=explanation)


def _without_circle(method: Method, found: Mapping[str, Method]) -> Method:
    """Return a method, without its parent if it is its own ancestor: no rung can stand below itself."""
    chain, parent = [method.id], method.parent
    while parent is not None and parent in found and parent not in chain:
        chain.append(parent)
        parent = found[parent].parent
    if parent != method.id:
        return method
    circle = " → ".join([*chain, method.id])
    why = f"{method.explanation} (no gain over a rung below: its parents form a circle, {circle})"
    return msgspec.structs.replace(method, parent=None, explanation=why)


def are_built_in(method_ids: Iterable[str]) -> bool:
    """Return whether all of these methods, or what they are controls of, come with this package."""
    points = [_entry_points().get(method_of(method_id)) for method_id in method_ids]
    return all(point is not None and point.dist is not None and point.dist.name == _PACKAGE for point in points)


def ladder_parents() -> dict[str, str | None]:
    """Return each installed method's next rung down; None for the lowest."""
    return {method.id: method.parent for method in available_methods().values()}


def peer_methods() -> frozenset[str]:
    """Return the installed methods that run in a runtime of others, which are no rungs of the ladder."""
    return frozenset(method.id for method in available_methods().values() if not method.is_rung)


def exact_methods() -> frozenset[str]:
    """Return the installed methods that promise the reference's model."""
    return frozenset(method.id for method in available_methods().values() if method.promises_the_model)


def resolve_methods(names: str, endpoints: Collection[str] = (), runtimes: Collection[str] = ()) -> tuple[str, ...]:
    """Return the method ids of a comma-separated list.

    In it, `ladder` means all that run on this interpreter, in ladder order, `peers` all that run in a runtime of
    others, and `all` the ladder and those peers that are at hand.

    Args:
        names: The list.
        endpoints: Ids of servers that may be named, too.
        runtimes: Names of the runtimes that are installed.

    Raises:
        UnknownMethodError: A name is unknown, or the list is empty.
    """
    methods = [method for method in available_methods().values() if not method.named_only]
    groups = {
        "all": [method.id for method in methods if method.runtime is None or method.runtime in runtimes],
        "ladder": [method.id for method in methods if method.is_rung],
        "peers": [method.id for method in methods if not method.is_rung],
    }
    known = [*available_methods(), *endpoints]
    asked = [name.strip() for name in names.split(",") if name.strip()]
    asked = [method_id for name in asked for method_id in groups.get(name, [name])]
    if not asked:
        raise UnknownMethodError(f"no method named; known: {', '.join(known)}")
    for name in asked:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UnknownMethodError(f"unknown method {name!r}; {remedy}")
    return tuple(dict.fromkeys(asked))
