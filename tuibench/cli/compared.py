"""Stored sessions side by side, for the verbs that show or write that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuibench.cli.arguments import UsageError
from tuibench.core.format import printable
from tuibench.core.results.comparison import UnknownYardstickError
from tuibench.store.side_by_side import SideBySide, side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuibench.store.schema import Session


def compared(opened: Sequence[tuple[Path, Session]], yardstick: str | None = None) -> SideBySide:
    """Return the comparison of stored sessions.

    Raises:
        UsageError: None of them measured the yardstick.
    """
    try:
        return side_by_side(opened, yardstick)
    except UnknownYardstickError as error:
        raise UsageError(printable(str(error))) from error
