"""`tuibench sessions`: what was measured before. Needs no model library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from tuibench import paths
from tuibench.cli import OK
from tuibench.cli.aligned import aligned
from tuibench.cli.arguments import UsageError
from tuibench.cli.stored import session_folders
from tuibench.core import format as fmt
from tuibench.store.catalogue import SessionSummary, list_sessions

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """List, show or change sessions."""
    if options.action == "list":
        return _list(options.format)
    if options.more and options.action not in {"import", "restore"}:
        raise UsageError(f"one session at a time: {options.session} or {options.more[0]}?")
    if options.session is None and options.action != "restore":
        raise UsageError(f"which session? `tuibench sessions {options.action} NAME`; `tuibench sessions` lists them")
    if options.action != "show":
        return _change(options)
    from tuibench.cli.session_shown import show  # noqa: PLC0415 - a list needs none of it

    return show(options.session, options.format, follow=options.follow)


def _change(options: argparse.Namespace) -> int:
    from tuibench.cli.session_changes import bring_back, edit, import_sessions, remove  # noqa: PLC0415 - as above

    if options.action == "restore":
        return bring_back(options.session)
    if options.action == "import":
        return import_sessions([options.session, *options.more])
    return remove(options.session) if options.action == "rm" else edit(options)


def _list(output: str) -> int:
    sessions = list_sessions(session_folders(), index=paths.session_index(), at_once=True)
    if output != "table":
        encoder = msgspec.json.Encoder(enc_hook=lambda path: fmt.as_text(str(path)))
        whole = encoder.encode_lines(sessions) if output == "jsonl" else msgspec.json.format(encoder.encode(sessions))
        print(fmt.inert_json(whole.decode().removesuffix("\n")))
    elif not sessions:
        print("no sessions yet: `tuibench` or `tuibench run` makes one", file=sys.stderr)
    else:
        print("\n".join(aligned([("session", "created", "trials", "model and methods"), *map(_row, sessions)])))
    return OK


def _row(session: SessionSummary) -> tuple[str, str, str, str]:
    what = f"{session.model}: {', '.join(session.methods)}"
    if session.problem:
        what = session.problem if not session.model else f"{what}; {session.problem}"
    tags = "".join(f" #{tag}" for tag in session.tags)
    name, created = fmt.printable_line(session.path.stem), fmt.moment(session.created)
    return name, created, str(session.n_trials), fmt.printable_line(what + tags)
