"""Which format is written by what, and which of them are binary."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tuibench.core.results.comparison import Comparison
from tuibench.store.export.benchstat import as_benchstat
from tuibench.store.export.csv_text import as_csv
from tuibench.store.export.html import as_html
from tuibench.store.export.json_text import as_json, as_json_line, run_json_line
from tuibench.store.export.markdown import as_markdown
from tuibench.store.export.plots import as_svg
from tuibench.store.export.png import as_png


def _as_json_lines(comparison: Comparison) -> str:
    lines: list[str] = []
    for number, run in enumerate(comparison.runs):
        lines += [as_json_line(record) for records in (run.trials, run.quality) for record in records]
        lines.append(run_json_line(comparison, number))
    return "".join(f"{line}\n" for line in lines)


FORMATS: Mapping[str, Callable[[Comparison], str | bytes]] = {
    "md": as_markdown,
    "csv": as_csv,
    "json": as_json,
    "jsonl": _as_json_lines,
    "html": as_html,
    "svg": as_svg,
    "png": as_png,
    "benchstat": as_benchstat,
}
"""Each returns the whole file; `png` raises `MissingExtraError` where its library is not installed."""


def exported(comparison: Comparison, name: str) -> bytes:
    """Return a comparison in one of `FORMATS`, as the bytes of a file."""
    content = FORMATS[name](comparison)
    return content.encode() if isinstance(content, str) else content
