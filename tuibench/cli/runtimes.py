"""`tuibench runtimes list|add|rm|check`: the environments that runtimes of others live in."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tuibench.cli import INTERRUPTED, OK, SOME_FAILED
from tuibench.cli.arguments import UsageError
from tuibench.core.format import printable, size
from tuibench.runtimes.catalogue import RUNTIMES, Runtime
from tuibench.runtimes.environment import RuntimeProblemError, add, find_environment, missing, probe, remove

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator


def run(options: argparse.Namespace) -> int:
    """Run the verb; data goes to standard output, progress and messages to standard error."""
    if options.build and options.action != "add":
        raise UsageError("--build belongs to `tuibench runtimes add`")
    match options.action:
        case "add":
            return _add(_named(options.runtime), compiled=options.build)
        case "rm":
            return _remove(_named(options.runtime))
        case "check":
            return _check([_named(options.runtime)] if options.runtime else _to_check())
        case _:
            return _list()


def _named(name: str | None) -> Runtime:
    known = ", ".join(RUNTIMES)
    if name is None:
        raise UsageError(f"which runtime? Known: {known}")
    if name not in RUNTIMES:
        near = get_close_matches(name, RUNTIMES, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"known: {known}"
        raise UsageError(printable(f"unknown runtime {name!r}; {remedy}"))
    return RUNTIMES[name]


def _list() -> int:
    for name, runtime in RUNTIMES.items():
        found = find_environment(name)
        taken = "–" if found is None else size(found.disk_bytes)
        state = "installed" if missing(name) is None else "not installed" if found is None else "outdated"
        how = " (compiled here)" if found is not None and found.compiled else ""
        print(name, state, taken, " ".join(runtime.packages) + how, sep="\t")
    if any(missing(name) for name in RUNTIMES):
        _say("`tuibench runtimes add NAME` installs one into the cache")
    return OK


def _add(runtime: Runtime, *, compiled: bool) -> int:
    if compiled and runtime.source is None:
        named = ", ".join(name for name, each in RUNTIMES.items() if each.source is not None)
        raise UsageError(f"{runtime.title} comes compiled only; --build is for: {named}")
    try:
        with _display() as show:
            environment, made = add(runtime.name, show, compiled=compiled)
    except RuntimeProblemError as error:
        _say(str(error))
        return SOME_FAILED
    except KeyboardInterrupt:
        _say("interrupted; nothing was installed")
        return INTERRUPTED
    how = ", compiled on this machine" if environment.compiled else ""
    done = "is installed" if made else "was installed already"
    _say(f"{runtime.title} {done}{how}, {size(environment.disk_bytes)}")
    print(environment.directory)
    return OK


def _remove(runtime: Runtime) -> int:
    try:
        freed = remove(runtime.name)
    except RuntimeProblemError as error:
        _say(str(error))
        return SOME_FAILED
    if freed is None:
        raise UsageError(f"{runtime.title} is not installed; `tuibench runtimes list` shows what is")
    _say(f"removed {runtime.name}, {size(freed)} ({freed:,} bytes) freed")
    return OK


def _to_check() -> list[Runtime]:
    """Return the runtimes that are there; all where none is, so that each says how to install it."""
    return [runtime for name, runtime in RUNTIMES.items() if find_environment(name)] or list(RUNTIMES.values())


def _check(runtimes: list[Runtime]) -> int:
    """Load each in its environment."""
    wrong = {runtime.name: why for runtime in runtimes if (why := _fault(runtime)) is not None}
    for why in wrong.values():
        _say(why)
    return SOME_FAILED if wrong else OK


def _fault(runtime: Runtime) -> str | None:
    """Print what a runtime says of itself, or return why it cannot be used."""
    found = find_environment(runtime.name)
    if found is None or not found.current:
        return missing(runtime.name)
    try:
        print(runtime.name, printable(probe(runtime, found.python)), sep="\t")
    except RuntimeProblemError as error:
        return str(error)
    return None


@contextmanager
def _display() -> Iterator[Callable[[str], None]]:
    """Show what goes on: one line that changes on a terminal, one line a step elsewhere."""
    if not sys.stderr.isatty():
        yield _say
        return
    from rich.console import Console  # noqa: PLC0415 - only here
    from rich.text import Text  # noqa: PLC0415

    with Console(stderr=True).status("") as status:
        yield lambda line: status.update(Text(printable(line), no_wrap=True, overflow="ellipsis"))


def _say(text: str) -> None:
    print(printable(f"tuibench: {text}"), file=sys.stderr)
