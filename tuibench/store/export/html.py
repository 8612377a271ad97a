"""HTML: one file that needs nothing else, for a mail or an archive. No script, no network, every word escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from tuibench.core.columns import Column, cells, comparison_columns, constants, filled, varying
from tuibench.core.comparison import Comparison
from tuibench.core.format import printable
from tuibench.core.machine_lines import machine_lines
from tuibench.core.verdict import verdict_lines
from tuibench.store.export.plots import plots

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ padding: .25rem .7rem; border-bottom: 1px solid #d8dee4; text-align: right; white-space: nowrap; }}
th {{ color: #59636e; font-weight: 600; }}
.left {{ text-align: left; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }}
dt {{ color: #59636e; }} dd {{ margin: 0; }}
figure {{ margin: 1.5rem 0; }} svg {{ max-width: 100%; height: auto; }}
pre {{ white-space: pre-wrap; background: #f6f8fa; padding: .8rem; border-radius: 6px; }}
.verdict {{ font-weight: 600; }}
</style>
</head>
<body>
"""


def as_html(comparison: Comparison) -> str:
    """Return a comparison as a page: verdict, table, plots and what each method wrote."""
    title = " · ".join(run.label for run in comparison.runs)
    columns = filled(comparison_columns(comparison), comparison, comparison.rows)
    common = constants(columns, comparison, comparison.rows)
    parts = [
        _HEAD.format(title=_text(f"tuibench: {title}")),
        f"<h1>{_text(title)}</h1>\n",
        *_verdicts(comparison),
        "<h2>Result</h2>\n",
        *_table(varying(columns, comparison, comparison.rows), comparison),
        "<dl>\n",
        *(f"<dt>{_text(heading)}</dt><dd>{_text(text)}</dd>\n" for heading, text in common.items()),
        "</dl>\n",
    ]
    for number in range(len(comparison.runs)):
        parts += [f"<figure>{plot.standalone()}</figure>\n" for plot in plots(comparison, number)]
        parts += _outputs(comparison, number)
    return "".join([*parts, "</body>\n</html>\n"])


def _text(text: str) -> str:
    return escape(printable(text))


def _verdicts(comparison: Comparison) -> Iterable[str]:
    for number, run in enumerate(comparison.runs):
        *lines, recommendation = verdict_lines(comparison, number)
        label = f"{run.label}: " if len(comparison.runs) > 1 else ""
        yield f'<p class="verdict">{_text(label + recommendation)}</p>\n<ul>\n'
        yield from (f"<li>{_text(line)}</li>\n" for line in lines)
        yield "</ul>\n"
        if machine := machine_lines(comparison, number):
            yield from ('<ul class="machine">\n', *(f"<li>{_text(line)}</li>\n" for line in machine), "</ul>\n")


def _table(columns: Sequence[Column], comparison: Comparison) -> Iterable[str]:
    heading, *lines = cells(columns, comparison, comparison.rows, short=frozenset())
    yield "<table>\n"
    for name, line in (("th", heading), *(("td", line) for line in lines)):
        yield "<tr>"
        for column, cell in zip(columns, line, strict=True):
            css = ' class="left"' if column.left else ""
            yield f"<{name}{css}>{_text(cell)}</{name}>"
        yield "</tr>\n"
    yield "</table>\n"


def _outputs(comparison: Comparison, number: int) -> Iterable[str]:
    """Yield what each method wrote in its first trial."""
    run = comparison.runs[number]
    first: dict[str, str] = {}
    for record in run.trials:
        if not record.warmup and not record.failed:
            first.setdefault(record.method, record.text)
    for method, text in first.items():
        yield f"<h3>{_text(method)}</h3>\n<pre>{_text(text)}</pre>\n"
