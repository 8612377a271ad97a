"""Plots of one run: speed against divergence, latency by token position, gains with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from textwrap import wrap

from tuibench.core import format as fmt
from tuibench.core.present.verdict_lines import label_before
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.evidence import Grade
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.row import NEGLIGIBLE_KLD, REFERENCE, Row
from tuibench.core.results.verdict import recommend
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
    whole_svg,
)
from tuibench.store.export.svg import INK, MUTED, SERIES, Scale, element, line, polyline, scale_over, text
from tuibench.store.export.sweep_plots import sweep_headline, sweep_plots

_MAX_POINTS = 400
"""Points a curve is drawn with; longer outputs are thinned to medians of neighbours."""
_LINE, _HEADLINE_CHARS, _REMARK_CHARS = 20.0, 84, 110
_APART, _BESIDE, _CHAR = 12.0, 3.0, 6.5
"""Between names, from a name to its point, and the width of a character: in units of the drawing."""
_EDGE = 16.0
_BAR, _BAR_TEXT, _BAR_HEIGHT = 38.0, 16.0, 12.0
"""From one bar to the next, the line of text above it, and its own height."""
_DIVERGENCE = f"KLD, nats per token, logarithmic; less than {NEGLIGIBLE_KLD:g} at the left"


def as_svg(comparison: Comparison) -> str:
    """Return all plots of a comparison's first run, or of a sweep or several machines, one below the other, as SVG."""
    parts, y = [], 0.0
    mapped = sweep_plots(comparison)
    drawn = [sweep_headline(comparison), *mapped] if mapped else [_headline(comparison), *plots(comparison)]
    for plot in drawn:
        parts.append(element("g", plot.body, transform=f"translate(0 {y:g})"))
        y += plot.height
    return whole_svg("".join(parts), y) + "\n"


def _headline(comparison: Comparison) -> Plot:
    """Return what to take, in bold where it is sure, and what else to know."""
    found = recommend(comparison)
    weight = "bold" if found.grade is Grade.TAKE else "normal"
    headline = wrap(f"{label_before(comparison, 0)}{found.headline}", _HEADLINE_CHARS, break_on_hyphens=False)
    told = [(part, {"font_size": 15, "font_weight": weight}) for part in headline]
    told += [(part, {"fill": MUTED}) for part in wrap("; ".join(found.details), _REMARK_CHARS, break_on_hyphens=False)]
    body = (text(16.0, 26.0 + _LINE * number, part, **style) for number, (part, style) in enumerate(told))
    return Plot(headline[0], _LINE * (len(told) + 1), "".join(body))


def plots(comparison: Comparison, run: int = 0, width: float = WIDTH) -> list[Plot]:
    """Return the plots of a run that has the figures for them."""
    made = (_gains(comparison, run, width), _scatter(comparison, run, width), _latency(comparison, run, width))
    return [plot for plot in made if plot is not None]


def _colours(comparison: Comparison, run: int) -> dict[str, str]:
    """Return one colour per method, the same in every plot of the run."""
    return {row.method: SERIES[number % len(SERIES)] for number, row in enumerate(comparison.of_run(run))}


def _scatter(comparison: Comparison, run: int, width: float) -> Plot | None:
    """Return decode speed against divergence, the Pareto front as a line."""
    rows = [row for row in comparison.of_run(run) if row.median(DECODE) and _divergence(comparison, row) is not None]
    if not any(row.kld is not None for row in rows):
        return None
    title = "Speed against divergence from FP32"
    colours = _colours(comparison, run)
    speeds = [row.median(DECODE) or 0.0 for row in rows]
    divergences = [max(_divergence(comparison, row) or 0.0, NEGLIGIBLE_KLD) for row in rows]
    y = scale_over(speeds, HEIGHT - BOTTOM, TOP, from_zero=True)
    x = scale_over(divergences, LEFT, width - RIGHT - 90, logarithmic=True)
    points = [(row, x(kld), y(speed)) for row, kld, speed in zip(rows, divergences, speeds, strict=True)]
    best = sorted((across, down) for row, across, down in points if row.best_for_its_quality)
    label_at = label_heights([(across, down, row.method) for row, across, down in points])
    parts = [
        title_of(title),
        axes(x, y, _DIVERGENCE, "tok/s", name_x=plain, name_y=plain),
        polyline(best, stroke=MUTED, stroke_dasharray="4 3"),
    ]
    for row, across, down in points:
        colour, at = colours[row.method], label_at[row.method]
        if abs(at - down) > _BESIDE:  # a name that had to move away is tied to its point
            parts.append(line(across, down, across + 9, at, stroke=colour))
        parts.append(element("circle", cx=across, cy=down, r=5, fill=colour))
        parts.append(text(across + 10, at + 4, row.method, fill=colour))
    return Plot(title, HEIGHT, "".join(parts), width)


def label_heights(points: Sequence[tuple[float, float, str]]) -> dict[str, float]:
    """Return how high the name to the right of each point stands: beside it, unless another's name is there.

    Names whose points are far apart in width do not get into each other's way.
    """
    placed: dict[str, float] = {}
    columns: dict[str, tuple[float, float]] = {}
    for across, down, name in sorted(points, key=lambda point: point[1]):
        end = across + 10 + _CHAR * len(name)
        in_the_way = [placed[other] for other, (a, b) in columns.items() if a < end and across < b]
        placed[name] = max([down, *(at + _APART for at in in_the_way)])
        columns[name] = (across, end)
    return placed


def _divergence(comparison: Comparison, row: Row) -> float | None:
    scored = any(other.kld is not None for other in comparison.of_run(row.run))
    return 0.0 if row.kld is None and row.method == REFERENCE and scored else row.kld


def _latency(comparison: Comparison, run: int, width: float) -> Plot | None:
    """Return each method's time per token by the token's position: without a KV-cache it climbs."""
    curves = {row.method: latency_curve(comparison, run, row.method) for row in comparison.of_run(run)}
    curves = {method: curve for method, curve in curves.items() if curve}
    if not curves:
        return None
    title = "Time per token by position"
    times = [ns / 1e6 for curve in curves.values() for _, ns in curve if ns > 0]
    positions = [float(position) for curve in curves.values() for position, _ in curve]
    if not times:
        return None
    y = scale_over(times, HEIGHT - BOTTOM, TOP, logarithmic=True)
    x = Scale(0.0, max(positions), LEFT, width - RIGHT - 110)
    colours = _colours(comparison, run)
    parts = [title_of(title), axes(x, y, "token", "ms, logarithmic", name_x=plain, name_y=plain)]
    label_at = spread([(y(curve[-1][1] / 1e6), method) for method, curve in curves.items() if curve[-1][1] > 0])
    for method, curve in curves.items():
        drawn = ((x(position), y(ns / 1e6)) for position, ns in curve if ns > 0)
        parts.append(polyline(drawn, stroke=colours[method], stroke_width=1.5))
        if method in label_at:
            parts.append(text(x.end + 6, label_at[method] + 4, method, fill=colours[method]))
    return Plot(title, HEIGHT, "".join(parts), width)


def latency_curve(comparison: Comparison, run: int, method: str) -> list[tuple[int, float]]:
    """Return (position, median gap in ns over the trials), thinned to at most 400 points; empty without trials."""
    trials = [
        record.step_ns
        for record in comparison.runs[run].trials
        if record.method == method and not record.warmup and not record.failed
    ]
    length = max(map(len, trials), default=0)
    gaps = [median(steps[position] for steps in trials if len(steps) > position) for position in range(length)]
    bucket = -(-length // _MAX_POINTS) or 1
    return [(start + 1, median(gaps[start : start + bucket])) for start in range(0, length, bucket)]


def _gains(comparison: Comparison, run: int, width: float) -> Plot | None:
    """Return decode speeds as bars with their intervals, each below its method's name and figures."""
    rows = [row for row in comparison.of_run(run) if row.median(DECODE)]
    if not rows:
        return None
    title = "Decode speed, median and 95 % interval"
    colours = _colours(comparison, run)
    highest = max(row.metrics[DECODE.id].high or row.metrics[DECODE.id].median for row in rows)
    x = Scale(0.0, highest, _EDGE, width - _EDGE)
    parts = [title_of(title)]
    for number, row in enumerate(rows):
        found = row.metrics[DECODE.id]
        y = TOP + number * _BAR
        middle = y + _BAR_TEXT + _BAR_HEIGHT / 2
        own = "1×" if row.method == comparison.yardstick else fmt.MISSING
        gain = fmt.gain(row.against_yardstick.ratio) if row.against_yardstick else own
        told = f"{fmt.rate(found.median)} · {gain}"
        parts.append(text(_EDGE, y + _BAR_TEXT - 4, row.method))
        parts.append(text(width - _EDGE, y + _BAR_TEXT - 4, told, fill=MUTED, text_anchor="end"))
        bar = {"width": x(found.median) - _EDGE, "height": _BAR_HEIGHT, "fill": colours[row.method], "rx": 2}
        parts.append(element("rect", x=_EDGE, y=y + _BAR_TEXT, **bar))
        if found.low is not None and found.high is not None:
            parts.append(line(x(found.low), middle, x(found.high), middle, stroke=INK))
            parts += [line(x(end), middle - 4, x(end), middle + 4, stroke=INK) for end in (found.low, found.high)]
    return Plot(title, TOP + len(rows) * _BAR + 16, "".join(parts), width)
