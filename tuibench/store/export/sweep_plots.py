"""Plots of a sweep or of several machines: a map of who wins where, and curves along each axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

from tuibench.core import format as fmt
from tuibench.core.present.sweep_lines import AXIS_LABELS, TITLES, SweepMap, fixed_words, map_sentences, sweep_maps
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.measured_run import LABEL_PARTS
from tuibench.core.results.metrics import Metric
from tuibench.core.results.sweep import Line, curve, is_wide, lines, sweep_runs, swept_metrics
from tuibench.store.export.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Plot,
    axes,
    plain,
    spread,
    title_of,
    titled,
)
from tuibench.store.export.svg import GRID, INK, MUTED, SERIES, Scale, element, line, polyline, scale_over, text

_NAMES = 110.0
"""Room for the methods' names behind their curves."""
_CELL, _NAME_LINE = 22.0, 18.0
_LABEL, _LABEL_CHARS = 150.0, 26
"""Room for what a row of a map is called, and how many characters have room in it."""
_DIMMED = 0.3
_MOST_CURVES = 18
"""Drawings; a sweep over many axes has more walks than anybody looks at."""
_LINE, _CHARS = 20.0, 100


def sweep_headline(comparison: Comparison) -> Plot:
    """Return what changes where, and which machine to take, as text above the plots."""
    # Of a sweep all parts have the session's name; machines are called by their own.
    names = [run.label.partition(LABEL_PARTS)[0] for run in comparison.runs]
    title = (names[0] if sweep_runs(comparison) else LABEL_PARTS.join(names)) or "sweep"
    told = [part for sentence in map_sentences(comparison) for part in wrap(sentence, _CHARS)]
    body = [title_of(title)]
    body += [text(16.0, 46.0 + _LINE * number, part, fill=MUTED) for number, part in enumerate(told)]
    return Plot(title, 46.0 + _LINE * len(told), "".join(body))


def sweep_plots(comparison: Comparison, width: float = WIDTH) -> list[Plot]:
    """Return the maps and curves of a sweep, or the maps of several machines; none without both."""
    maps = sweep_maps(comparison)
    if not maps:
        return []
    colours = {name: SERIES[number % len(SERIES)] for number, name in enumerate(maps[0].methods)}
    found = [_map(each, colours, width) for each in maps]
    walks = sorted(lines(comparison), key=lambda walk: -len(walk.runs))
    for walk in walks:
        found += [
            each for metric in swept_metrics(comparison) if (each := _curves(comparison, walk, metric, colours, width))
        ]
    return found[: len(maps) + _MOST_CURVES]


def _map(found: SweepMap, colours: Mapping[str, str], width: float) -> Plot:
    """Return a grid of shapes and methods: the best in its colour, dimmed where it is not told apart."""
    title = f"Best {found.title}, dimmed where it cannot be told"
    n_methods = len(found.methods)
    n_chars = max(_LABEL_CHARS, *(len(label) for label, _ in found.rows))
    labels = min(_LABEL * n_chars / _LABEL_CHARS, width / 3)
    across = (width - 32 - labels) / n_methods
    top = TOP + _NAME_LINE * n_methods
    parts = []
    for at, name in enumerate(found.methods):
        x, y = 16 + labels + at * across + 4, TOP + 8 + _NAME_LINE * at
        parts.append(text(x, y, name, fill=colours[name], text_anchor="end" if x > width / 2 else "start"))
        parts.append(line(x, y + 4, x, top, stroke=GRID))
    for row, (label, cells) in enumerate(found.rows):
        y = top + row * _CELL
        parts.append(text(16.0, y + 15, fmt.shortened(label, int(_LABEL_CHARS * labels / _LABEL))))
        for at, (name, cell) in enumerate(zip(found.methods, cells, strict=True)):
            x = 16 + labels + at * across
            if cell.best:
                box = {"x": x, "y": y + 1, "width": across - 2, "height": _CELL - 2, "rx": 2}
                parts.append(element("rect", **box, fill=colours[name], fill_opacity=1 if cell.sure else _DIMMED))
            shade = "#ffffff" if cell.sure else INK if cell.text != fmt.MISSING else MUTED
            parts.append(text(x + across - 6, y + 15, cell.text, text_anchor="end", fill=shade, font_size=11))
    return titled(title, top + len(found.rows) * _CELL + 16, "".join(parts), width)


def _curves(
    comparison: Comparison, walk: Line, metric: Metric, colours: Mapping[str, str], width: float
) -> Plot | None:
    """Return a figure along an axis, a line a method with its intervals."""
    drawn = {name: points for name in colours if (points := curve(comparison, walk, name, metric))}
    if not any(len(points) > 1 for points in drawn.values()):
        return None
    fixed = fixed_words(walk)
    title = f"{TITLES[metric.id].capitalize()} by {AXIS_LABELS[walk.axis]}{f' ({fixed})' if fixed else ''}"
    divisor, unit, logarithmic = (1e6, "ms, logarithmic", True) if metric.unit == "ns" else (1.0, "tok/s", False)
    ends = [end / divisor for points in drawn.values() for _, found in points for end in found.ends]
    y = scale_over(ends, HEIGHT - BOTTOM, TOP, from_zero=not logarithmic, logarithmic=logarithmic)
    x = _across([value for points in drawn.values() for value, _ in points], width)
    parts = [axes(x, y, AXIS_LABELS[walk.axis], unit, name_x=plain, name_y=plain)]
    heights = spread([(y(points[-1][1].median / divisor), name) for name, points in drawn.items()])
    for name, points in drawn.items():
        colour = colours[name]
        placed = [(x(value), found) for value, found in points]
        parts.append(
            polyline(((at, y(found.median / divisor)) for at, found in placed), stroke=colour, stroke_width=1.5)
        )
        for at, found in placed:
            low, high = found.ends
            parts.append(line(at, y(low / divisor), at, y(high / divisor), stroke=colour, stroke_opacity=0.5))
            parts.append(element("circle", cx=at, cy=y(found.median / divisor), r=3, fill=colour))
        parts.append(text(x.end + 6, heights[name] + 4, name, fill=colour))
    return titled(title, HEIGHT, "".join(parts), width)


def _across(values: Sequence[int], width: float) -> Scale:
    low, high = min(values), max(values)
    return Scale(float(low), float(high), LEFT, width - RIGHT - _NAMES, logarithmic=is_wide(low, high))
