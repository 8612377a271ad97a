"""A sweep, or several machines, in words and tables: who wins where, where that changes, how many threads help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.core.present.run_labels import run_names
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.host_verdict import host_lines
from tuibench.core.results.measured_run import LABEL_PARTS
from tuibench.core.results.metrics import DECODE, GOODPUT, OUTPUT, TOTAL_DECODE, TTFT, Metric
from tuibench.core.results.sweep import (
    Crossing,
    Knee,
    Line,
    contestants,
    crossings,
    knees,
    lines,
    map_runs,
    sweep_runs,
    swept_metrics,
    winner,
)
from tuibench.core.run.shape import AXES, Sweep
from tuibench.core.statistics.stats import Outcome, Ratio

TITLES = {
    DECODE.id: "decode speed",
    TTFT.id: "time to the first token",
    OUTPUT.id: "throughput, prompt included",
    TOTAL_DECODE.id: "decode speed of all users",
    GOODPUT.id: "goodput",
}
WON, UNSURE = "★", "?"
MEANINGS = {WON: "best and told apart from the others", UNSURE: "best, but not told apart from all of them"}
LEGEND = "   ".join(f"{mark} {meaning}" for mark, meaning in MEANINGS.items())

_VERBS = {
    DECODE.id: "decodes fastest",
    TTFT.id: "answers first",
    OUTPUT.id: "has the highest throughput",
    TOTAL_DECODE.id: "decodes most in all",
    GOODPUT.id: "has the highest goodput",
}
_AXIS_WORDS = {
    "prompt_tokens": ("{} of prompt", "token", "prompt length"),
    "depth_tokens": ("{} of depth", "token", "depth"),
    "max_new_tokens": ("{}", "new token", "output length"),
    "n_threads": ("{}", "thread", "number of threads"),
    "n_users": ("{}", "user", "number of users"),
}
AXIS_LABELS = {
    "prompt_tokens": "tokens of prompt",
    "depth_tokens": "tokens of depth",
    "max_new_tokens": "new tokens",
    "n_threads": "threads",
    "n_users": "users",
}
_ENOUGH_BANDWIDTH = 0.8
"""Share of the read bandwidth from which on it explains why more threads do not help."""


@dataclass(frozen=True, slots=True)
class MapCell:
    """One method under one shape."""

    text: str
    best: bool = False
    sure: bool = False
    """Whether being best is told apart from every other method."""
    why_missing: str = ""


@dataclass(frozen=True, slots=True)
class SweepMap:
    """A metric of every method under every shape, on every machine."""

    metric: Metric
    methods: tuple[str, ...]
    rows: tuple[tuple[str, tuple[MapCell, ...]], ...]
    """By machine and shape: what tells them from the others, and a cell for each method."""
    shared: str = ""
    """What is true of all these shapes, though not of all that were asked for."""
    left_out: str = ""
    """How many have no row, in words: a stopped session did not come to them; empty where all have one."""

    @property
    def title(self) -> str:
        """What is shown, and of which shapes where that is not all."""
        return " · ".join(filter(None, (TITLES[self.metric.id], self.shared)))


def sweep_maps(comparison: Comparison) -> list[SweepMap]:
    """Return a map of each metric that something was measured of; none of one shape on one machine."""
    return [found for metric in swept_metrics(comparison) if (found := _map(comparison, metric)) is not None]


def _map(comparison: Comparison, metric: Metric) -> SweepMap | None:
    asked_for = map_runs(comparison)
    runs = comparison.tried(asked_for)
    names = run_names(comparison.runs, runs)
    methods = tuple(dict.fromkeys(row.method for number in runs for row in comparison.of_run(number)))
    rows = []
    for number in runs:
        found = winner(comparison, number, metric)
        best, sure = (found.method, found.sure) if found else (None, False)
        cells = (_cell(comparison, number, method, metric, best=method == best, sure=sure) for method in methods)
        rows.append((fmt.printable_line(names.own[number]), tuple(cells)))
    measured = any(cell.text != fmt.MISSING for _, cells in rows for cell in cells)
    if not measured:
        return None
    left_out = untried_words(comparison, asked_for)
    return SweepMap(metric, tuple(map(fmt.printable, methods)), tuple(rows), names.shared, left_out)


def untried_words(comparison: Comparison, runs: Sequence[int]) -> str:
    """Return how many of some runs a stopped session did not come to; empty where it came to all."""
    n_left_out = len(runs) - len(comparison.tried(runs))
    if not n_left_out:
        return ""
    kind = run_names(comparison.runs, runs).kind
    what = "parts" if LABEL_PARTS in kind else f"{kind}s"
    return f"{n_left_out} of {len(runs)} {what} not measured"


def _cell(comparison: Comparison, run: int, method: str, metric: Metric, *, best: bool, sure: bool) -> MapCell:
    row = comparison.row(run, method)
    value = row.median(metric) if row else None
    if value is not None:
        return MapCell(fmt.metric(metric, value), best=best, sure=best and sure)
    failure = row.failure if row else None
    return MapCell(fmt.MISSING, why_missing=fmt.printable(failure.failure_message or "") if failure else "")


def sweep_lines(comparison: Comparison, *, width: int = 100) -> list[list[str]]:
    """Return a sweep as paragraphs: what changes where, the maps, and why cells are empty; none without one."""
    maps = sweep_maps(comparison) if sweep_runs(comparison) else []
    return _filled([sweep_sentences(comparison), *_with_legend(maps, width), host_lines(comparison)]) if maps else []


def map_sentences(comparison: Comparison) -> list[str]:
    """Return what changes where in a sweep, and which machine to take; nothing of one shape on one machine."""
    return [*sweep_sentences(comparison), *host_lines(comparison)]


def machine_map_lines(comparison: Comparison, *, width: int = 100) -> list[list[str]]:
    """Return who decodes fastest on which machine, and which of them to take, as paragraphs; none for a run on one."""
    maps = [] if sweep_runs(comparison) else [each for each in sweep_maps(comparison) if each.metric is DECODE]
    return _filled([*_with_legend(maps, width), host_lines(comparison)]) if maps else []


def _with_legend(maps: Sequence[SweepMap], width: int) -> list[list[str]]:
    tables = [table for found in maps for table in _tables(found, width)]
    return [*tables, [LEGEND], impossible_lines(maps)]


def _filled(paragraphs: Sequence[list[str]]) -> list[list[str]]:
    return [paragraph for paragraph in paragraphs if paragraph]


def sweep_sentences(comparison: Comparison) -> list[str]:
    """Return where the winner changes along each axis, and how many threads help."""
    walked = [line for line in lines(comparison) if line.axis != "n_threads"]
    axes = dict.fromkeys(line.axis for line in walked)
    found: list[str] = []
    told = {name for row in comparison.rows for name in row.metrics}
    together = [metric for metric in (TOTAL_DECODE, GOODPUT) if metric.id in told and comparison.tells(metric)]
    for metric in (TTFT, DECODE, *together):
        for axis in axes:
            found += _along_axis(comparison, [line for line in walked if line.axis == axis], metric)
    return [fmt.printable(sentence) for sentence in (*found, *map(_knee, knees(comparison)))]


def axis_lines(sweep: Sweep) -> list[str]:
    """Return the values of each axis of a sweep, as `tokens of prompt: 64, 512`."""
    values = {name: getattr(sweep, name) for name in AXES}
    wanted = {name: numbers for name, numbers in values.items() if numbers and numbers not in {(0,), (1,)}}
    return [f"{AXIS_LABELS[name]}: {', '.join(map(str, numbers))}" for name, numbers in wanted.items()]


def impossible_lines(maps: Sequence[SweepMap]) -> list[str]:
    """Return why cells are empty, each reason once, and how many rows are left out."""
    found = maps[0]
    reasons: dict[str, dict[str, list[str]]] = {}
    for label, cells in found.rows:
        for method, cell in zip(found.methods, cells, strict=True):
            if cell.why_missing:
                reasons.setdefault(cell.why_missing, {}).setdefault(label, []).append(method)
    told = [f"{where}: {reason}" for reason, places in reasons.items() for where in _where(found, places)]
    return [*told, found.left_out] if found.left_out else told


def _where(found: SweepMap, places: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the cells that share a reason, as `int8, int4: prompt 512; prompt 1024`."""
    by_methods: dict[tuple[str, ...], list[str]] = {}
    for label, methods in places.items():
        by_methods.setdefault(tuple(methods), []).append(label)
    for methods, labels in by_methods.items():
        names = "every method" if len(methods) == len(found.methods) > 1 else ", ".join(methods)
        rows = "everywhere" if len(labels) == len(found.rows) > 1 else "; ".join(labels)
        yield ": ".join(filter(None, (names, rows)))


def _along_axis(comparison: Comparison, walked: Sequence[Line], metric: Metric) -> Iterator[str]:
    """Yield what changes along the lines of one axis; what is the same on all of them is said once."""
    told = {_rest(line): _along(comparison, line, metric) for line in walked}
    found = {sentences for sentences in told.values() if sentences}
    if len(found) == 1 and all(told.values()):
        yield from found.pop()
        return
    for rest, sentences in told.items():
        yield from (f"{sentence}{rest}" for sentence in sentences)


def _along(comparison: Comparison, line: Line, metric: Metric) -> tuple[str, ...]:
    """Return what changes along a line, or that nothing does; nothing where there is no contest."""
    if all(len(contestants(comparison, number)) < 2 for number in line.runs):  # noqa: PLR2004 - two compete
        return ()
    if changes := crossings(comparison, line, metric):
        return tuple(map(_crossing, changes))
    winners = [winner(comparison, number, metric) for number in line.runs]
    names = {found.method for found in winners if found is not None and found.sure}
    if len(names) == 1 and all(found is not None and found.sure for found in winners):
        first, last = line.values[0], line.values[-1]
        return (f"{_value(line.axis, f'{first} to {last}', 2)}: {names.pop()} {_VERBS[metric.id]} throughout",)
    sure = ", ".join(
        f"{found.method} at {value}"
        for value, found in zip(line.values, winners, strict=True)
        if found is not None and found.sure
    )
    along, figure = _AXIS_WORDS[line.axis][2], TITLES[metric.id]
    if not sure:
        return (f"no {along} shows a clear winner in {figure}",)
    return (f"along the {along}, {figure} has a clear winner only here: {sure}",)


def _crossing(change: Crossing) -> str:
    axis, verb = change.line.axis, _VERBS[change.metric.id]
    if change.at is None:
        here = _value(axis, str(change.last), change.last)
        return f"up to {here} {change.before} {verb}, from {change.first} on {change.after}"
    at = _rounded(change.at)
    about = f"up to about {_value(axis, str(at), at)} {change.before} {verb}, beyond it {change.after}"
    return f"{about} (between {change.last} and {change.first})"


def _rounded(value: float) -> int:
    """Return a value to two digits: an interpolation knows no more."""
    return int(float(f"{value:.2g}"))


def _value(axis: str, value: str, n: int) -> str:
    words, noun, _ = _AXIS_WORDS[axis]
    return words.format(f"{value} {noun if n == 1 else f'{noun}s'}")


def fixed_words(line: Line) -> str:
    """Return what the other axes are fixed at along a line, as `0 tokens of depth, 1 thread`; empty without any.

    Of several machines, the one that it is of, too: `1 thread, on big`.
    """
    fixed = [_value(axis, str(value), value) for axis, value in line.rest.items()]
    return ", ".join([*fixed, *([f"on {line.host}"] if line.host else [])])


def _rest(line: Line) -> str:
    told = fixed_words(line)
    return f" · {told}" if told else ""


def _knee(knee: Knee) -> str:
    threads = fmt.counted(knee.n_threads, "thread")
    if knee.gain is not None:
        told = f"{threads}: {fmt.times(knee.gain.value)} {fmt.counted(knee.n_fewest, 'thread')}{_doubt(knee.gain)}"
    else:
        told = f"{threads}, the fewest that were measured"
    if knee.more is None:
        told += "; more were not measured"
    else:
        told += f"; more would not help: {fmt.gain(knee.more)}"
    if knee.mbu is not None and knee.mbu >= _ENOUGH_BANDWIDTH:
        told += f", {100 * knee.mbu:.0f} % of the read bandwidth"
    return f"{knee.method}: {told}{_rest(knee.line)}"


def _doubt(ratio: Ratio) -> str:
    return "" if ratio.outcome is Outcome.GREATER else " (not told apart)"


def _tables(found: SweepMap, width: int) -> Iterator[list[str]]:
    """Yield a map as text, in several tables where its methods do not fit side by side."""
    marked = [[f"{cell.text} {_mark(cell)}" for cell in cells] for _, cells in found.rows]
    label_width = max(len(label) for label, _ in found.rows)
    widths = [max(len(name), *(len(cells[at]) for cells in marked)) for at, name in enumerate(found.methods)]
    start = 0
    while start < len(widths):
        end, used = start, label_width
        while end < len(widths) and (end == start or used + widths[end] + 2 <= width):
            used += widths[end] + 2
            end += 1
        columns = range(start, end)
        title = found.title + (" (continued)" if start else "")
        heading = f"{'':{label_width}}" + "".join(f"  {found.methods[at]:>{widths[at]}}" for at in columns)
        body = (
            f"{label:{label_width}}" + "".join(f"  {cells[at]:>{widths[at]}}" for at in columns)
            for (label, _), cells in zip(found.rows, marked, strict=True)
        )
        yield [title, heading.rstrip(), *(row.rstrip() for row in body)]
        start = end


def _mark(cell: MapCell) -> str:
    if not cell.best:
        return " "
    return WON if cell.sure else UNSURE
