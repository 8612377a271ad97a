"""HTML: one file that needs nothing else, for a mail or an archive. No script, no network, every word escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from tuibench.core.format import printable
from tuibench.core.present.columns import Column, cells, comparison_columns, constants, filled, varying
from tuibench.core.present.detail_columns import depth_columns, depth_rows
from tuibench.core.present.machine_lines import machine_lines
from tuibench.core.present.report_lines import choices, glossary, origin_line
from tuibench.core.present.run_labels import split_labels
from tuibench.core.present.sweep_lines import impossible_lines, sweep_maps, sweep_sentences
from tuibench.core.present.verdict_lines import headlines, label_before, verdict_lines
from tuibench.core.results.changes import change_lines
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.evidence import Grade
from tuibench.core.results.host_verdict import host_lines
from tuibench.core.results.peers import HEADING, apart
from tuibench.core.results.row import Row
from tuibench.core.results.sweep import sweep_runs
from tuibench.core.results.verdict import recommend
from tuibench.methods import peer_methods
from tuibench.store.export.drawing import NARROW
from tuibench.store.export.plots import plots
from tuibench.store.export.svg import GRID, INK, MUTED, PAPER
from tuibench.store.export.sweep_plots import sweep_plots

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{light}
@media (prefers-color-scheme: dark) {{
{dark}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 78rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }}
p, ul, pre {{ max-width: 62rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 12px; }}
th, td {{ padding: .25rem .35rem; border-bottom: 1px solid var(--grid); text-align: right; vertical-align: top;
  white-space: nowrap; }}
th {{ color: var(--muted); font-weight: 600; }}
.left {{ text-align: left; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }}
dt {{ color: var(--muted); }} dd {{ margin: 0; }}
.plots {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1rem; }}
figure {{ margin: 0; break-inside: avoid; }} svg {{ width: 100%; height: auto; }}
table.choices {{ font-size: 14px; }} h2, h3 {{ break-after: avoid; }}
@media (max-width: 30rem) {{
table.choices {{ font-size: 11px; }} .choices :is(th, td) {{ padding: .25rem .15rem; }}
.choices :is(th, td):nth-child(4) {{ display: none; }}
}}
pre {{ white-space: pre-wrap; background: var(--shade); padding: .8rem; border-radius: 6px; }}
.verdict {{ font-size: 1.3rem; line-height: 1.3; }} .sure {{ font-weight: 600; }} .origin {{ color: var(--muted); }}
@media print {{
body {{ margin: 0; max-width: none; font-size: 11px; }} .plots {{ grid-template-columns: 1fr 1fr; }}
.wide {{ overflow: visible; }} th, td {{ white-space: normal; padding: .15rem .25rem; }} table {{ font-size: 8px; }}
}}
</style>
</head>
<body>
"""
_LIGHT = {"--ink": INK, "--muted": MUTED, "--grid": GRID, "--paper": PAPER, "--shade": "#f6f8fa"}
_DARK = {"--ink": "#e6edf3", "--muted": "#9198a1", "--grid": "#3d444d", "--paper": "#0d1117", "--shade": "#151b23"}
_CHOICE_COLUMNS = ("decode_tps", "yardstick", "ttft_ns", "peak_rss_bytes", "kld")
_BRIGHTER = {
    "#0072b2": "#3d9be0",
    "#7f3c8d": "#b77cc4",
    "#8a6d00": "#c9a227",
    "#b5495b": "#d4707f",
    "#3f7f3f": "#62a862",
}
"""Series that are too dark for dark paper."""
_DRAWN = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--paper)"}
"""What the plots are drawn with and what takes its place on dark paper; each as fill or as stroke."""


def as_html(comparison: Comparison) -> str:
    """Return a comparison as a page: what to take, three rows, plots, then everything."""
    shared, labels = split_labels([run.label for run in comparison.runs])
    title = shared or " · ".join(labels)
    columns = filled(comparison_columns(comparison), comparison, comparison.rows)
    shown = varying(columns, comparison, comparison.rows)
    ours, theirs = apart(comparison.rows, peer_methods())
    numbers, swept = range(len(comparison.runs)), bool(sweep_runs(comparison))
    told = () if swept else numbers  # of each shape of a sweep, it would bury the rest
    parts = [
        _HEAD.format(title=_text(f"tuibench: {title}"), light=_root(_LIGHT), dark=_dark()),
        f"<h1>{_text(title)}</h1>\n",
        *(() if swept else (part for number in numbers for part in _decision(comparison, number))),
        *_map(comparison),
        *_list("What changed", change_lines(comparison)),
        *(part for number in told for part in _plots(comparison, number)),
        *(part for number in told for part in _sentences(comparison, number)),
        "<h2>All figures</h2>\n",
        *_table(shown, comparison, (*ours, *theirs), headed_from=len(ours) if ours and theirs else None),
        *_definitions(constants(columns, comparison, comparison.rows)),
        *_by_depth(comparison),
        *(() if swept else _machine(comparison)),
        "<h2>What the words mean</h2>\n",
        *_definitions(glossary(shown)),
        *(part for number in told for part in _outputs(comparison, number)),
    ]
    return "".join([*parts, "</body>\n</html>\n"])


def _root(colours: Mapping[str, str]) -> str:
    return f":root {{ {' '.join(f'{name}: {value};' for name, value in colours.items())} }}"


def _dark() -> str:
    """Return the rules for dark paper: a rule of a style sheet goes before the attributes that a plot is drawn with."""
    redrawn = (
        f"svg [{attribute}='{drawn}'] {{ {attribute}: {shown}; }}"
        for drawn, shown in {**_DRAWN, **_BRIGHTER}.items()
        for attribute in ("fill", "stroke")
    )
    return "\n".join([_root(_DARK), *redrawn])


def _text(text: str) -> str:
    return escape(printable(text))


def _cell(text: str) -> str:
    """Return a cell's text, an interval or a standard error below its figure: so a page is wide enough for all."""
    return re.sub(r" (?=[\[±])", "<br>", _text(text))


def _decision(comparison: Comparison, number: int) -> Iterable[str]:
    """Yield what to take of one run and on what it rests: what a reader with half a minute reads."""
    found = recommend(comparison, number)
    css = "sure verdict" if found.grade is Grade.TAKE else "verdict"
    yield f'<p class="{css}">{_text(label_before(comparison, number) + found.headline)}</p>\n'
    if origin := origin_line(comparison, number):
        yield f'<p class="origin">{_text(origin)}</p>\n'
    yield from _choices(comparison, number)
    if found.details:
        yield f"<p>{_text('; '.join(found.details))}</p>\n"
    prompt = comparison.runs[number].prompt
    if prompt is not None and prompt not in [run.prompt for run in comparison.runs[:number]]:
        yield f"<h3>Prompt</h3>\n<pre>{_text(prompt)}</pre>\n"


def _map(comparison: Comparison) -> Iterable[str]:
    """Yield a sweep, or machines: what changes where, who wins where, and what to take under each shape."""
    maps = sweep_maps(comparison)
    if not maps:
        return
    yield from _list("What changes where", sweep_sentences(comparison))
    yield from _list("Which machine", host_lines(comparison))
    yield '<div class="plots">\n'
    yield from (f"<figure>{plot.standalone()}</figure>\n" for plot in sweep_plots(comparison, NARROW))
    yield "</div>\n"
    if sweep_runs(comparison):
        yield from _list("What to take", headlines(comparison))
    yield from _list("Cells that could not be", impossible_lines(maps))


def _choices(comparison: Comparison, number: int) -> Iterable[str]:
    named = choices(comparison, number)
    of_run = {row.method: row for row in comparison.of_run(number)}
    rows = [of_run[method] for method in named]
    if not rows:
        return
    what = Column("choice", "", lambda _, row: f"{row.method} [{', '.join(named[row.method])}]", left=True)
    known = {column.id: column for column in comparison_columns(comparison)}
    yield from _table([what, *(known[name] for name in _CHOICE_COLUMNS)], comparison, rows, css="choices")


def _plots(comparison: Comparison, number: int) -> Iterable[str]:
    yield '<div class="plots">\n'
    yield from (f"<figure>{plot.standalone()}</figure>\n" for plot in plots(comparison, number, NARROW))
    yield "</div>\n"


def _sentences(comparison: Comparison, number: int) -> Iterable[str]:
    title = comparison.runs[number].label if len(comparison.runs) > 1 else "Methods"
    return _list(title, verdict_lines(comparison, number))


def _machine(comparison: Comparison) -> Iterable[str]:
    for number, run in enumerate(comparison.runs):
        label = f": {run.label}" if len(comparison.runs) > 1 else ""
        yield from _list(f"The machine{label}", machine_lines(comparison, number))


def _list(title: str, lines: Sequence[str]) -> Iterable[str]:
    if lines:
        yield f"<h2>{_text(title)}</h2>\n<ul>\n"
        yield from (f"<li>{_text(line)}</li>\n" for line in lines)
        yield "</ul>\n"


def _by_depth(comparison: Comparison) -> Iterable[str]:
    if rows := depth_rows(comparison):
        yield "<h2>Divergence by context position</h2>\n"
        yield from _table(depth_columns(comparison), comparison, rows)


def _definitions(named: Mapping[str, str]) -> Iterable[str]:
    yield "<dl>\n"
    yield from (f"<dt>{_text(name)}</dt><dd>{_text(text)}</dd>\n" for name, text in named.items())
    yield "</dl>\n"


def _table(
    columns: Sequence[Column],
    comparison: Comparison,
    rows: Sequence[Row],
    css: str = "all",
    headed_from: int | None = None,
) -> Iterable[str]:
    heading, *lines = cells(columns, comparison, rows, short=frozenset())
    yield f'<div class="wide"><table class="{css}">\n'
    yield _table_row("th", columns, heading)
    for number, line in enumerate(lines):
        if number == headed_from:
            yield f'<tr><th class="left" colspan="{len(columns)}">{_text(HEADING)}</th></tr>\n'
        yield _table_row("td", columns, line)
    yield "</table></div>\n"


def _table_row(name: str, columns: Sequence[Column], line: Sequence[str]) -> str:
    aligned = ((' class="left"' if column.left else "", cell) for column, cell in zip(columns, line, strict=True))
    return f"<tr>{''.join(f'<{name}{css}>{_cell(cell)}</{name}>' for css, cell in aligned)}</tr>\n"


def _outputs(comparison: Comparison, number: int) -> Iterable[str]:
    """Yield what each method wrote in its first trial."""
    run = comparison.runs[number]
    first: dict[str, str] = {}
    for record in run.trials:
        if not record.warmup and not record.failed:
            first.setdefault(record.method, record.text)
    for method, text in first.items():
        yield f"<h3>{_text(method)}</h3>\n<pre>{_text(text)}</pre>\n"
