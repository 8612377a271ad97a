"""Measuring where the cache folder cannot be written: with a temporary one that links to what is there."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuibench import paths
from tuibench.cli.arguments import UsageError
from tuibench.core.format import printable

_LINKED = ("models", "artifacts")


@contextmanager
def writable_cache() -> Iterator[None]:
    """Have a cache folder that can be written, here and in all child processes; a word if it is a temporary one.

    Raises:
        UsageError: No temporary folder can be made either.
    """
    folder = paths.cache_dir()
    why = _obstacle(folder)
    if why is None:
        yield
        return
    remedy = "mend its permissions, or name another in TUIBENCH_CACHE"
    try:
        temporary = tempfile.TemporaryDirectory(prefix="tuibench-", ignore_cleanup_errors=True)
    except OSError as error:
        raise UsageError(f"{folder}: the cache folder cannot be written ({why}); {remedy}") from error
    told = f"tuibench: {folder}: the cache folder cannot be written ({why}): what is made now is not kept; {remedy}"
    print(printable(told), file=sys.stderr)
    before = os.environ.get("TUIBENCH_CACHE")
    with temporary as name:
        _link_contents(folder, Path(name))
        os.environ["TUIBENCH_CACHE"] = name
        try:
            yield
        finally:
            if before is None:
                del os.environ["TUIBENCH_CACHE"]
            else:
                os.environ["TUIBENCH_CACHE"] = before


def _obstacle(folder: Path) -> str | None:
    """Return why a folder cannot be written; None if it can. Tried, for modes tell nothing of a read-only disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


def _link_contents(folder: Path, temporary: Path) -> None:
    """Make the models and graphs of one cache those of another, which removes no more than its links to them."""
    for kind in _LINKED:
        (temporary / kind).mkdir()
        try:
            found = sorted((folder / kind).glob("[!.]*"))
        except OSError:
            continue  # it cannot be read either
        for each in found:
            (temporary / kind / each.name).symlink_to(each.resolve())
