"""Why a launcher did not get to a tuibench: from what it wrote to one line with the remedy."""

from __future__ import annotations

from tuibench.core.format import printable_line
from tuibench.core.run.host import Host
from tuibench.measure.hosts.host import HostUnusableError

_SHOWN_CHARS = 200
_NO_PYTHON = "the interpreter is not there: set `python` in the settings, or `tuibench hosts prepare {name}`"
_REMEDIES = (
    ("No module named", "tuibench is not installed there: `tuibench hosts prepare {name}`"),
    ("Permission denied", "its key was refused: try the launcher's words by hand, without a password"),
    ("Host key verification failed", "its host key is not known: connect once by hand"),
    ("Could not resolve", "its name is not known here: correct `launcher` in the settings"),
    ("Connection refused", "nobody listens there"),
    ("Connection timed out", "it does not answer"),
    (
        "command not found",
        "the interpreter is not there: set `python` in the settings, or `tuibench hosts prepare {name}`",
    ),
    ("No such file", _NO_PYTHON),
    ("not found", _NO_PYTHON),
    ("No space left", "its disk is full: free some space there"),
    ("password is required", "it asks for a password, which nobody can give: set it up to do without"),
)


def no_connection(host: Host, returncode: int | None, written: bytes) -> HostUnusableError:
    """Return what to raise.

    Args:
        host: The machine.
        returncode: Of the launcher; None if it still runs.
        written: What it wrote.
    """
    lines = [line for line in written.decode(errors="replace").splitlines() if line.strip()]
    for text, remedy in _REMEDIES:
        if (said := next((line for line in reversed(lines) if text in line), None)) is not None:
            helps = remedy.format(name=host.name)
            shown = printable_line(said)[:_SHOWN_CHARS]
            return HostUnusableError(f"{host.name}: {shown}; {helps}", f"{host.name}: {helps}")
    ended = "said nothing that tuibench understands" if returncode is None else f"ended with exit code {returncode}"
    latest = f": {printable_line(lines[-1])[:_SHOWN_CHARS]}" if lines else ""
    helps = "try its words by hand, with `true` as the command"
    return HostUnusableError(
        f"{host.name}: {host.launcher[0]} {ended}{latest}; {helps}", f"{host.name}: the launcher {ended}; {helps}"
    )
