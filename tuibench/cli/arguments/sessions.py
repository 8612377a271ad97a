"""Arguments of `tuibench sessions`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import session_name, words
from tuibench.cli.arguments.verb import SESSION_HELP, Verb


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    actions = ("list", "show", "edit", "rm", "restore", "import")
    add("action", nargs="?", choices=actions, default="list", help="default: list")
    add(
        "session",
        nargs="?",
        type=session_name,
        metavar="SESSION",
        help=f"{SESSION_HELP}; with import: file or host",
    )
    add("more", nargs="*", type=session_name, metavar="FILE|HOST", help="with import: further files or hosts")
    add("--follow", action="store_true", help="with show: print its trials as they are measured")
    add("--name", type=words, metavar="NAME", help="with edit: another name")
    add("--tags", type=words, metavar="TAGS", help="with edit: new tags, separated by blanks or commas")
    add("--note", type=words, metavar="TEXT", help="with edit: what to remember about it")
    add("--format", choices=("table", "json", "jsonl"), default="table", help="default: table")


SESSIONS = Verb(
    "sessions",
    "list, show, name, tag, import or remove stored sessions",
    _add,
    'tuibench sessions edit last --name "after the update"',
)
