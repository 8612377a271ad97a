"""The README's pictures, taken from the real program with the session that ships: `python -m tests.screenshots`."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from tests.explained import Callout, explained
from tuibench import paths
from tuibench.store.session import load
from tuibench.ui.app import TuibenchApp
from tuibench.ui.screens.compare import CompareScreen
from tuibench.ui.screens.replay import ReplayScreen
from tuibench.ui.screens.sessions import SessionsScreen

SIZE = (120, 40)
QUESTION = "Which one should I take, and how sure is that?"
CALLOUTS = [
    Callout("decode", ("How fast?", "tokens a second,", "the median of trials")),
    Callout("× kv-cache", ("How much faster?", "with its 95 % interval;", "“no difference” at 1×")),
    Callout("peak RSS", ("What does it cost?", "memory, and time", "to the first token")),
    Callout("KLD", ("How far from FP32?", "KLD: 0 is equal,", "0.05 is the limit")),
    Callout("", ("Can I trust it?", "● clean", "▲ doubtful  ! disturbed")),
]
"""What the README's first picture says of the comparison."""


async def take() -> None:
    """Open the session of our own methods at its end, go through the modes, and save what each has on the screen."""
    folder = paths.sample_sessions()
    session = folder / "sample-first-look.toml"
    app = TuibenchApp(model=load(session).header.model.name, open_session=session)

    async with app.run_test(size=SIZE) as pilot:

        async def save(name: str, screen: type) -> None:
            while not isinstance(app.screen, screen):
                await pilot.pause(0.1)
            await pilot.pause(1.5)
            app.clear_notifications()
            await pilot.pause(0.3)
            app.save_screenshot(f"sample-{name}.svg", str(folder))

        await save("dashboard", ReplayScreen)
        await pilot.press("c")
        await save("compare", CompareScreen)
        taken = (folder / "sample-compare.svg").read_text()
        (folder / "sample-explained.svg").write_text(explained(taken, QUESTION, CALLOUTS))
        await pilot.press("escape")
        await pilot.pause(0.5)
        await pilot.press("r", "0")
        await pilot.press(*["right"] * 3)
        await save("race", ReplayScreen)
        await pilot.press("escape")
        await save("sessions", SessionsScreen)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:  # nobody's own sessions get into the pictures
        os.environ["TUIBENCH_SESSIONS"] = str(Path(home) / "sessions")
        os.environ["TUIBENCH_CACHE"] = str(Path(home) / "cache")
        os.environ["XDG_CONFIG_HOME"] = str(Path(home) / "config")
        asyncio.run(take())
