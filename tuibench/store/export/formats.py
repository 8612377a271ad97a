"""Which format is written by what; each one's code is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from tuibench.core.results.comparison import Comparison

FORMATS: Mapping[str, tuple[str, str]] = {
    "md": ("markdown", "as_markdown"),
    "csv": ("csv_text", "as_csv"),
    "json": ("json_text", "as_json"),
    "jsonl": ("json_text", "as_json_lines"),
    "html": ("html", "as_html"),
    "svg": ("plots", "as_svg"),
    "png": ("png", "as_png"),
    "benchstat": ("benchstat", "as_benchstat"),
}
"""The module beside this one, and its function that returns the whole file; that of `png` raises `MissingExtraError`
where its library is not installed."""


def exported(comparison: Comparison, name: str) -> bytes:
    """Return a comparison in one of `FORMATS`, as the bytes of a file."""
    module, function = FORMATS[name]
    content: str | bytes = getattr(import_module(f"{__package__}.{module}"), function)(comparison)
    return content.encode() if isinstance(content, str) else content


def export_here(comparison: Comparison, name: str, stem: str) -> Path:
    """Write a comparison into the current folder, under a name that is free, and return the file.

    Raises:
        OSError: It cannot be written.
        ImportError: The format needs a library that is not installed; the message names it.
    """
    content = exported(comparison, name)
    suffix = "txt" if name == "benchstat" else name
    number = 1
    while True:
        path = Path(f"{stem}.{suffix}" if number == 1 else f"{stem}-{number}.{suffix}")
        try:
            with path.open("xb") as file:
                file.write(content)
        except FileExistsError:
            number += 1
        else:
            return path
