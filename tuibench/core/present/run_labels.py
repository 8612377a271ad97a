"""What runs are called beside each other: what they have in common is told once, not for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tuibench.core.results.measured_run import LABEL_PARTS, MeasuredRun
from tuibench.core.run.shape import Shape, describe, describe_briefly, swept_axes


def split_labels(labels: Sequence[str]) -> tuple[str, list[str]]:
    """Return the parts that all labels begin with, empty where that is nothing, and the rest of each."""
    parts = [label.split(LABEL_PARTS) for label in labels]
    most = min(map(len, parts)) - 1 if len(labels) > 1 else 0
    n_shared = next((at for at in range(most) if len({part[at] for part in parts}) > 1), most)
    return LABEL_PARTS.join(parts[0][:n_shared]), [LABEL_PARTS.join(part[n_shared:]) for part in parts]


@dataclass(frozen=True, slots=True)
class RunNames:
    """Some runs of a comparison, by what tells them apart."""

    own: Mapping[int, str]
    """Of each run; empty where it is the only one."""
    brief: Mapping[int, str]
    """The same with a letter for each axis of a shape."""
    shared: str
    """What is true of all of them, as far as it is not true of all runs of the comparison."""
    session: str
    """The session that all of them are parts of; empty where there are several."""
    kind: str
    """What tells them apart: `session`, `machine` or `shape`, or several of these."""


def run_names(runs: Sequence[MeasuredRun], shown: Iterable[int]) -> RunNames:
    """Return what some of the runs of a comparison are called beside each other."""
    these = {number: runs[number] for number in shown}
    first = next(iter(these.values()), None)
    if first is None:
        return RunNames({}, {}, "", "", "session")
    axes = swept_axes(_shapes(these.values()))
    fixed = [name for name in swept_axes(_shapes(runs)) if name not in axes]
    several = {
        "session": len({run.session for run in these.values()}) > 1,
        "machine": len({run.host for run in these.values()}) > 1,
        "shape": bool(axes),
    }
    machine = first.host if not several["machine"] and len({run.host for run in runs}) > 1 else None
    shaped = all(run.shape is not None for run in these.values())
    same_shape = describe(first.shape, fixed) if shaped and first.shape is not None else ""
    return RunNames(
        {number: _own(run, several, axes, describe) for number, run in these.items()},
        {number: _own(run, several, axes, describe_briefly) for number, run in these.items()},
        LABEL_PARTS.join(filter(None, (machine, same_shape))),
        "" if several["session"] else first.session,
        LABEL_PARTS.join(name for name, differ in several.items() if differ) or "session",
    )


def _shapes(runs: Iterable[MeasuredRun]) -> list[Shape]:
    return [run.shape for run in runs if run.shape is not None]


def _own(
    run: MeasuredRun,
    several: Mapping[str, bool],
    axes: Sequence[str],
    of_shape: Callable[[Shape, Sequence[str]], str],
) -> str:
    parts = (
        run.session if several["session"] else "",
        run.where if several["machine"] else "",
        of_shape(run.shape, axes) if run.shape is not None else "",
    )
    return LABEL_PARTS.join(filter(None, parts))
