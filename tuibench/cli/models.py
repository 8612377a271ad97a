"""`tuibench models list|pull|rm`, and the pull that other verbs do when a model is missing."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Protocol

from tuibench.cli import INTERRUPTED, OK, SOME_FAILED
from tuibench.cli.arguments import UsageError
from tuibench.core.format import counted, printable, size
from tuibench.models.artifacts import cached_artifacts, remove_artifacts
from tuibench.models.cache import cached_models, find_cached, remove_cached
from tuibench.models.local import DEFAULT_MODEL, LocalModel, ModelError
from tuibench.models.origin.pull_process import Pulled, PullFailed, PullProgress, pull_in_child
from tuibench.models.origin.sources import find_model

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def run(options: argparse.Namespace) -> int:
    """Run the verb; data goes to standard output, progress and messages to standard error."""
    match options.action:
        case "pull":
            return _pull(options.model or DEFAULT_MODEL)
        case "rm" if options.artifacts is not None:
            return _remove_made(options.model or (None if options.artifacts is True else options.artifacts))
        case "rm":
            return _remove(options.model)
        case _:
            return _list()


def ensure_model(name: str) -> LocalModel:
    """Return a model, pulled first if this disk lacks it.

    Raises:
        UsageError: It cannot be had.
    """
    try:
        found = find_model(name)
        if found is None:
            found = find_model(_pulled_name(name))
    except ModelError as error:
        raise UsageError(str(error)) from error
    if found is None:
        raise UsageError(f"{name} was pulled, but is gone again; did somebody remove it?")
    return found


def _list() -> int:
    models = cached_models()
    if not models:
        _say(f"no model in the cache; `tuibench models pull` fetches {DEFAULT_MODEL}")
    for model in models:
        print(printable(model.name), size(model.disk_bytes), printable(model.source), sep="\t")
    made = cached_artifacts()
    for artifact in made:
        print(printable(artifact.model_name), size(artifact.disk_bytes), f"made for {artifact.method}", sep="\t")
    if made:
        total = size(sum(artifact.disk_bytes for artifact in made))
        _say(f"{counted(len(made), 'artifact')}, {total} in all; `tuibench models rm --artifacts` clears them")
    return OK


def _remove_made(name: str | None) -> int:
    """Remove what methods made from one model, or from all; it is made again when it is next needed."""
    known = {artifact.model_name for artifact in cached_artifacts()}
    if name is not None and name not in known:
        raise UsageError(
            printable(f"nothing was made from a model {name}; known: {', '.join(sorted(known)) or 'none'}")
        )
    freed = remove_artifacts(name)
    left = [artifact.method for artifact in cached_artifacts() if name in {None, artifact.model_name}]
    _say(f"removed the artifacts of {name or 'all models'}, {size(freed)} ({freed:,} bytes) freed")
    if left:
        _say(f"left, because they are being made or read: {', '.join(left)}")
    return SOME_FAILED if left else OK


def _remove(name: str | None) -> int:
    known = ", ".join(model.name for model in cached_models()) or "none"
    if name is None:
        raise UsageError(f"which model? In the cache: {known}")
    found = find_cached(name)
    try:
        freed = remove_cached(name)
    except ModelError as error:
        _say(str(error))
        return SOME_FAILED
    if freed is None:
        raise UsageError(printable(f"there is no model {name} in the cache; known: {known}"))
    # What methods made from it goes with it: without the model nothing could use it.
    freed += remove_artifacts(found.directory.name) if found is not None else 0
    _say(f"removed {name}, {size(freed)} ({freed:,} bytes) freed")
    return OK


def _pull(name: str) -> int:
    try:
        print(printable(_pulled_name(name)))
    except ModelError as error:
        _say(str(error))
        return SOME_FAILED
    except KeyboardInterrupt:
        _say("interrupted; what has been downloaded is used by the next pull")
        return INTERRUPTED
    return OK


def _pulled_name(name: str) -> str:
    """Pull a model where the user can watch it, and return what it is called in the cache."""
    with _display() as show:
        ending = asyncio.run(_follow(name, show))
    if isinstance(ending, PullFailed):
        raise ModelError(ending.message)
    return ending.name


async def _follow(name: str, show: _Show) -> Pulled | PullFailed:
    async with aclosing(pull_in_child(name)) as events:
        async for event in events:
            if not isinstance(event, PullProgress):
                return event
            show(event)
    return PullFailed(f"the pull of {name} ended without a result; pull it again")


class _Show(Protocol):
    """Shows progress."""

    def __call__(self, progress: PullProgress) -> None: ...


@contextmanager
def _display() -> Iterator[_Show]:
    """Show a bar on a terminal, and one line a step elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich import progress as rich_progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415 - not needed where nobody watches

    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(bar_width=24),
        rich_progress.TextColumn("{task.fields[amount]}", markup=False),
        rich_progress.TimeRemainingColumn(elapsed_when_finished=True),
    )
    bars = rich_progress.Progress(*columns, console=Console(stderr=True), refresh_per_second=4, transient=True)
    with bars:
        task = bars.add_task("starting", total=None, amount="")
        label = ""

        def show(progress: PullProgress) -> None:
            nonlocal label
            if progress.label != label:
                label = progress.label
                bars.reset(task, description=printable(label), total=progress.total)
            bars.update(task, completed=progress.done, amount=progress.amount)

        yield show


class _Lines:
    """One line when a step begins, and one at each quarter of it."""

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None

    def __call__(self, progress: PullProgress) -> None:
        quarter = progress.done * 4 // progress.total if progress.total else 0
        if (progress.label, quarter) != self._last:
            self._last = progress.label, quarter
            _say(f"{progress.label} {progress.amount}".rstrip())


def _say(message: str) -> None:
    print(printable(message), file=sys.stderr)
