"""Older session files, brought up to the present schema one step at a time while they are read.

A file is never rewritten: what was measured stays as it was written. When `SCHEMA_VERSION` is raised, the step from
the version before is added here, and a file of that version to `tests/store/samples/`, for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tuibench.store.schema import SCHEMA_VERSION

Table = dict[str, Any]


class Step:
    """From one version to the next. A table that a step does not mention is the same in both."""

    def __init__(self, **tables: Callable[[Table], Table]) -> None:
        """Name what changes.

        Args:
            tables: By table (`header`, `trials`, `quality`, …), the function that brings one such table up.
        """
        self._tables = tables

    def changes(self, name: str) -> bool:
        """Return whether a table is another in the next version."""
        return name in self._tables

    def __call__(self, name: str, table: Table) -> Table:
        """Return a table as the next version would have written it."""
        change = self._tables.get(name)
        return change(table) if change else table


STEPS: Mapping[int, Step] = {1: Step(), 2: Step(), 3: Step()}
"""By the version that a step starts from. Version 2 adds trials that have text and no tokens, version 3 sweeps, whose
trials have shapes, and rows of other machines, version 4 trials of several users; what older files say means the same
in all."""

OLDEST = SCHEMA_VERSION - len(STEPS)


def migrate(name: str, table: Table, version: int, steps: Mapping[int, Step] = STEPS) -> Table:
    """Return a table of a file of this version as the present version would have written it.

    Args:
        name: `header`, or the name of the `[[…]]` table.
        table: As parsed.
        version: The file's; one that is newer than ours has no steps, and is left as it is.
        steps: For tests.
    """
    while version in steps:
        table = steps[version](name, table)
        version += 1
    return table


def changes(name: str, version: int) -> bool:
    """Return whether a table of a file of this version has to be brought up before it can be read."""
    return any(step.changes(name) for start, step in STEPS.items() if start >= version)
