"""`tuibench help`: the manual's pages, or what a verb takes."""

from __future__ import annotations

import difflib
import os
import sys
from typing import TYPE_CHECKING

from tuibench.cli import OK
from tuibench.cli.arguments import UsageError
from tuibench.cli.command_line import VERBS, parser
from tuibench.topics import text, topics

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Print the list of pages, one page, or a verb's own help."""
    asked: str | None = options.topic
    pages = topics()
    if asked is None:
        width = max(len(page.name) for page in pages)
        print("\n".join(f"{page.name:{width}}  {page.title}" for page in pages))
    elif asked in {page.name for page in pages}:
        _show(text(asked))
    elif asked in VERBS:
        parser().parse_args([asked, "--help"])
    else:
        known = [*(page.name for page in pages), *VERBS]
        near = difflib.get_close_matches(asked, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else "`tuibench help` lists the topics"
        raise UsageError(f"there is no help on {asked!r}; {remedy}")
    return OK


def _show(markdown: str) -> None:
    """Print for a reader at a terminal, or the text itself for whatever else reads it."""
    if not sys.stdout.isatty():
        print(markdown, end="")
        return
    from rich.console import Console  # noqa: PLC0415 - a pipe needs none of it
    from rich.markdown import Markdown  # noqa: PLC0415

    os.environ.setdefault("LESS", "-RFX")  # colours as they are; what fits on one screen needs no key to leave
    console = Console()
    with console.pager(styles=True):
        console.print(Markdown(markdown))
