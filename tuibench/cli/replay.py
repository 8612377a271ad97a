"""`tuibench replay`: a stored session at the speed it had."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from tuibench.cli import INTERRUPTED, OK
from tuibench.cli.result_table import result_lines
from tuibench.cli.stored import open_session
from tuibench.core.format import printable
from tuibench.core.run.events import PieceEmitted, StepEmitted, TokenEmitted, TrialFinished
from tuibench.core.run.run_events import TrialObserved
from tuibench.store.replay import Replay, stored_state

if TYPE_CHECKING:
    import argparse

    from tuibench.store.schema import Session


def run(options: argparse.Namespace) -> int:
    """Open the dashboard on the session, or print its tokens as they came."""
    path, session = open_session(options.session)
    if options.plain or not sys.stdout.isatty():
        return asyncio.run(_print(session, options.speed))
    from tuibench.cli.dashboard import open_dashboard  # noqa: PLC0415 - Textual

    return open_dashboard(options, open_session=path, speed=options.speed)


async def _print(session: Session, speed: float) -> int:
    """Print each method's text in lines of its own, then the result.

    Methods stream side by side, so a line is printed when it is full or its method has finished.
    """
    lines: dict[str, str] = {}
    width = max((len(method) for method in session.header.settings.methods), default=0)
    try:
        async for event in Replay(session, speed).events():
            match event:
                case TrialObserved(method=method, event=TokenEmitted(text=text) | PieceEmitted(text=text)):
                    lines[method] = _flushed(method.ljust(width), lines.get(method, "") + text)
                case TrialObserved(method=method, event=StepEmitted(users=users, texts=texts)):
                    for user, text in zip(users, texts, strict=True):
                        name = f"{method} {user + 1}"
                        lines[name] = _flushed(name.ljust(width), lines.get(name, "") + text)
                case TrialObserved(method=method, event=TrialFinished()) if f"{method} 1" in lines:
                    for name in [each for each in lines if each.startswith(f"{method} ")]:
                        _flushed(name.ljust(width), lines.pop(name) + "\n")
                case TrialObserved(method=method, event=TrialFinished(text_tail=tail)):
                    _flushed(method.ljust(width), lines.get(method, "") + tail + "\n")
                case _:
                    pass
    except asyncio.CancelledError:
        return INTERRUPTED
    print("\n".join(["", *result_lines(stored_state(session))]))
    return OK


_LINE = 72


def _flushed(label: str, text: str) -> str:
    """Print the whole lines of a text and return what is left."""
    while "\n" in text or len(text) > _LINE:
        cut = text.find("\n", 0, _LINE + 1)
        if cut < 0:
            cut = text.rfind(" ", 0, _LINE)
            cut = cut if cut > 0 else _LINE - 1
        print(f"{printable(label)} │ {printable(text[:cut]).expandtabs(4)}", flush=True)
        text = text[cut + 1 :] if text[cut] in "\n " else text[cut:]
    return text
