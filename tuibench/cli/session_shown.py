"""`tuibench sessions show`: what a session measured, and what of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuibench.cli import OK
from tuibench.cli.result_table import detail_lines, result_json, result_lines
from tuibench.cli.stored import open_session
from tuibench.core import format as fmt
from tuibench.core.present.sweep_lines import axis_lines
from tuibench.store.export.json_text import as_json_line
from tuibench.store.replay import stored_state

if TYPE_CHECKING:
    from pathlib import Path

    from tuibench.store.schema import Session


def show(name: str, output: str, *, follow: bool) -> int:
    """Print a session; with `follow`, until its run has ended."""
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
