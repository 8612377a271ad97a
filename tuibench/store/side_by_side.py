"""Stored sessions as one comparison: what each is called in it, and what makes their figures incomparable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuibench.core.format import as_text, counted, moment
from tuibench.core.machine.fingerprint import Difference, differences
from tuibench.core.results.comparison import Comparison, compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.run.shape import WINDOW_TOKENS
from tuibench.methods import exact_methods, ladder_parents
from tuibench.store.export.facts import measured_runs
from tuibench.store.schema import Session

_TASK = ("model", "digest", "threads", "tokens", "sampling")
"""The facts that decide how long a run takes."""
_CPUS = ("CPU", "usable CPUs")
"""Of a machine, what no change of a program explains."""


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Stored sessions side by side."""

    comparison: Comparison
    warnings: tuple[str, ...] = ()
    """What makes a session incomparable with the first one, a sentence for each that is."""
    other_tasks: tuple[str, ...] = ()
    """Of these, what each such session was asked for otherwise than the first, or on what other CPU it ran: speeds of
    two tasks tell nothing about two builds."""


def side_by_side(opened: Sequence[tuple[Path, Session]], yardstick: str | None = None) -> SideBySide:
    """Compare stored sessions, each under a name of its own.

    Args:
        opened: At least one; the first is what the others are held against.
        yardstick: The method that speeds are stated against; None for the usual one.

    Raises:
        UnknownYardstickError: None of them measured the yardstick.
    """
    sessions = [session for _, session in opened]
    of_each = [measured_runs(session, label) for session, label in zip(sessions, _labels(opened), strict=True)]
    if len(of_each) == 1:
        of_each = [[replace(run, label=_part(run)) for run in of_each[0]]]
    runs = [run for of_one in of_each for run in of_one]
    found = compare(runs, parents=ladder_parents(), exact=exact_methods(), yardstick=yardstick)
    firsts = [(session, of_one[0]) for session, of_one in zip(sessions, of_each, strict=True)]
    return SideBySide(found, tuple(_warnings(firsts)), tuple(_other_tasks(firsts)))


def _part(run: MeasuredRun) -> str:
    """Return what a part of the only session is called: its machine needs no session's name before it."""
    return run.host if run.host is not None and run.shape is None else run.label


def _labels(opened: Sequence[tuple[Path, Session]]) -> list[str]:
    """Return each session's name where it has one of its own, else when it began; its file's where that is no other's.

    What comes twice even so is numbered.
    """
    named = Counter(session.name for _, session in opened)
    began = [moment(session.header.created) for _, session in opened]
    labels = [session.name if named[session.name] == 1 else "" for _, session in opened]
    times = Counter(time for time, label in zip(began, labels, strict=True) if not label)
    for number, (path, _) in enumerate(opened):
        labels[number] = labels[number] or (began[number] if times[began[number]] == 1 else as_text(path.stem))
    seen: Counter[str] = Counter()
    for number, label in enumerate(labels):
        seen[label] += 1
        labels[number] = f"{label} ({seen[label]})" if seen[label] > 1 else label
    return labels


def _others(pairs: Sequence[tuple[Session, MeasuredRun]]) -> Iterator[tuple[Session, MeasuredRun]]:
    """Yield the runs of other sessions than the first: that a session's machines differ is what it is about."""
    yield from (pair for pair in pairs if pair[0] is not pairs[0][0])


def _differences(ours: MeasuredRun, theirs: MeasuredRun) -> tuple[Difference, ...]:
    return differences(ours.machine, theirs.machine) if ours.machine and theirs.machine else ()


def _warnings(pairs: Sequence[tuple[Session, MeasuredRun]]) -> Iterator[str]:
    first, first_run = pairs[0]
    for session, run in _others(pairs):
        machine = (str(each) for each in _differences(run, first_run) if each.matters)
        found = [*_asked_otherwise(session, run, first, first_run), *_other_texts(session, first), *machine]
        if found:
            yield f"{run.label} and {first_run.label} differ in what matters: {'; '.join(found)}"


def _other_tasks(pairs: Sequence[tuple[Session, MeasuredRun]]) -> Iterator[str]:
    first, first_run = pairs[0]
    for session, run in _others(pairs):
        cpus = (each for each in _differences(run, first_run) if each.what in _CPUS)
        found = [*_asked_otherwise(session, run, first, first_run), *map(str, cpus)]
        if found:
            yield f"{run.label} and {first_run.label} were not measured alike: {'; '.join(found)}"


def _asked_otherwise(session: Session, run: MeasuredRun, first: Session, first_run: MeasuredRun) -> Iterator[str]:
    yield from _other_task(run, first_run)
    yield from _other_prompt(session, first, (run.facts["prompt"], first_run.facts["prompt"]))
    ours, theirs = session.header.settings, first.header.settings
    if (ours.calibration_sha256, ours.calibration_ranges) != (theirs.calibration_sha256, theirs.calibration_ranges):
        yield "calibrated otherwise"


def _other_task(run: MeasuredRun, first: MeasuredRun) -> Iterator[str]:
    for name in _TASK:
        # Another model has other weights: that goes without saying.
        implied = name == "digest" and run.facts["model"] != first.facts["model"]
        if run.facts[name] != first.facts[name] and not implied:
            yield f"{name}: {run.facts[name]} against {first.facts[name]}"


def _other_prompt(session: Session, first: Session, shown: tuple[str, str]) -> Iterator[str]:
    """Yield how the prompts differ: by what the model read of them where that is known, else by what was typed."""
    ours, theirs = session.prompt_read, first.prompt_read
    same_model = session.header.model.digest == first.header.model.digest  # another one has another template
    if ours is None or theirs is None or not same_model:
        if shown[0] != shown[1]:
            yield f"prompt: {shown[0]} against {shown[1]}"
        if session.header.settings.raw != first.header.settings.raw:
            yield f"chat template: {_template(session)} against {_template(first)}"
    elif ours != theirs:
        if shown[0] != shown[1]:
            yield f"prompt: {shown[0]} against {shown[1]}"
        else:
            read = [f"{counted(n_tokens, 'token')} ({sha256[:8]})" for sha256, n_tokens in (ours, theirs)]
            yield f"prompt: the same words, read as {' against '.join(read)}: by --raw, the chat template or its date"


def _template(session: Session) -> str:
    return "none" if session.header.settings.raw else "the model's"


def _other_texts(session: Session, first: Session) -> Iterator[str]:
    ours, theirs = session.header.settings, first.header.settings
    if ours.eval_sha256 and theirs.eval_sha256 and ours.eval_sha256 != theirs.eval_sha256:
        names = (ours.eval_name, theirs.eval_name)
        why = "two versions" if names[0] == names[1] else f"{names[0]} against {names[1]}"
        yield f"text that quality was measured on: {why}"
    windows = [_windows(side) for side in (session, first)]
    if all(windows) and windows[0] != windows[1]:
        yield f"windows that quality was measured on: {' against '.join(windows)} tokens"


def _windows(session: Session) -> str:
    """Return how long they were; nothing where nothing was scored."""
    lengths = {each.window_tokens or WINDOW_TOKENS for each in session.quality if not each.failed}
    return " and ".join(f"{length:,}" for length in sorted(lengths))
