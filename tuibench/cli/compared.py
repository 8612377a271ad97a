"""Stored sessions side by side, for the verbs that show or write that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuibench.cli.arguments import UsageError
from tuibench.core.format import printable
from tuibench.core.results.comparison import UnknownBaselineError
from tuibench.store.side_by_side import SideBySide, side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuibench.store.schema import Session


def compared(opened: Sequence[tuple[Path, Session]], baseline: str | None = None) -> SideBySide:
    """Return the comparison of stored sessions.

    Raises:
        UsageError: None of them measured the baseline.
    """
    try:
        return side_by_side(opened, baseline)
    except UnknownBaselineError as error:
        raise UsageError(printable(str(error))) from error
