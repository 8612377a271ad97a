"""Arguments of `tuibench export`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import given_path, session_name
from tuibench.cli.arguments.verb import SESSION_HELP, Verb


def _add(parser: argparse.ArgumentParser) -> None:
    formats = ("md", "csv", "json", "jsonl", "html", "svg", "png", "benchstat")
    parser.add_argument("session", type=session_name, metavar="SESSION", help=SESSION_HELP)
    parser.add_argument("--format", choices=formats, required=True, help="what to write")
    parser.add_argument("-o", "--output", type=given_path, metavar="FILE", help="default: standard output")


EXPORT = Verb(
    "export",
    "write a session as a table, a page, a plot or for benchstat",
    _add,
    "tuibench export last --format html -o report.html",
)
