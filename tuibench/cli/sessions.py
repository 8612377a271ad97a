"""`tuibench sessions`: what was measured before. Needs no model library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from tuibench import paths
from tuibench.cli import OK
from tuibench.cli.arguments import UsageError
from tuibench.cli.result_table import aligned, detail_lines, result_json, result_lines
from tuibench.cli.session_changes import bring_back, edit, import_files, remove
from tuibench.core import format as fmt
from tuibench.core.present.sweep_lines import axis_lines
from tuibench.store.catalogue import SessionSummary, find_session, list_sessions
from tuibench.store.export.json_text import as_json_line
from tuibench.store.replay import stored_state
from tuibench.store.schema import Session, SessionError
from tuibench.store.session import load

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def session_folders() -> tuple[Path, Path]:
    """Return where sessions are looked for: the user's own, then the recorded samples."""
    return paths.sessions_dir(), paths.sample_sessions()


def open_session(name: str) -> tuple[Path, Session]:
    """Return a session's file and content; what could not be read of it is told on standard error.

    Raises:
        UsageError: There is no such session, or it cannot be read.
    """
    try:
        path = find_session(name, session_folders(), index=paths.session_index())
        session = load(path)
    except SessionError as error:
        raise UsageError(fmt.printable(str(error))) from error
    for problem in session.dropped:
        print(fmt.printable(f"{path}: {problem}"), file=sys.stderr)
    return path, session


def run(options: argparse.Namespace) -> int:
    """List, show or change sessions."""
    if options.action == "list":
        return _list(options.format)
    if options.action == "restore":
        return bring_back(options.session)
    if options.more and options.action != "import":
        raise UsageError(f"one session at a time: {options.session} or {options.more[0]}?")
    if options.action == "import" and options.session is not None:
        return import_files([options.session, *options.more])
    if options.session is None:
        raise UsageError(f"which session? `tuibench sessions {options.action} NAME`; `tuibench sessions` lists them")
    if options.action == "rm":
        return remove(options.session)
    if options.action == "edit":
        return edit(options)
    return _show(options.session, options.format, follow=options.follow)


def _list(output: str) -> int:
    sessions = list_sessions(session_folders(), index=paths.session_index())
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
    created = f"{session.created:%Y-%m-%d %H:%M}" if session.created else fmt.MISSING
    tags = "".join(f" #{tag}" for tag in session.tags)
    return fmt.printable_line(session.path.stem), created, str(session.n_trials), fmt.printable_line(what + tags)


def _show(name: str, output: str, *, follow: bool) -> int:
    path, session = open_session(name)
    if follow:
        from tuibench.cli.follow import follow as follow_session  # noqa: PLC0415 - needs the lock, which others do not

        session = follow_session(path)
    state = stored_state(session)
    if output == "json":
        print(result_json(state))
    elif output == "jsonl":
        print("\n".join(map(as_json_line, session.trials)))
    else:
        print(fmt.printable("\n".join(_about(path, session))))
        print("\n".join([*result_lines(state), *detail_lines(state)]))
    return OK


def _about(path: Path, session: Session) -> list[str]:
    header, settings, machine = session.header, session.header.settings, session.header.machine
    version = " ".join(filter(None, (header.tuibench_version, header.tuibench_commit)))
    sweep = settings.sweep
    shapes = [" · ".join(axis_lines(sweep.axes))] if sweep else []
    sampling = "greedy" if settings.sampling.greedy else f"temperature {settings.sampling.temperature:g}"
    counts = (
        fmt.counted(settings.max_new_tokens, "token"),
        fmt.counted(settings.n_threads, "thread"),
        fmt.counted(settings.n_trials, "trial"),
    )
    return [
        f"{fmt.printable_line(session.name or path.stem)} · {header.created:%Y-%m-%d %H:%M %Z} · tuibench {version}",
        f"{header.model.name} ({header.model.source}) · {fmt.count(header.model.parameters)} parameters",
        f"{machine.cpu} · {fmt.counted(machine.n_cpus_effective, 'CPU')} · {fmt.size(machine.memory_bytes)}",
        " · ".join((*counts, sampling)),
        *(f"{each.method}: {each.model} at {each.url}, {each.api}" for each in settings.endpoints),
        *shapes,
        f"prompt: {settings.prompt}" if settings.prompt or sweep is None else f"prompts cut from: {sweep.text_name}",
        "",
    ]
