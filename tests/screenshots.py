"""The README's picture, taken from the real program with the session that ships: `python -m tests.screenshots`."""

from __future__ import annotations

import asyncio

from tuibench import paths
from tuibench.store.catalogue import list_sessions
from tuibench.store.session import load
from tuibench.ui.app import TuibenchApp
from tuibench.ui.screens.replay import ReplayScreen

NAME = "sample-dashboard.svg"


async def take() -> None:
    """Open the newest sample session at its end, and save what is on the screen."""
    folder = paths.sample_sessions()
    session = list_sessions([folder])[0]
    app = TuibenchApp(model=load(session.path).header.model.name, open_session=session.path)
    async with app.run_test(size=(120, 40)) as pilot:
        while not isinstance(app.screen, ReplayScreen):
            await pilot.pause(0.1)
        await pilot.pause(1.0)
        app.clear_notifications()
        await pilot.pause()
        app.save_screenshot(NAME, str(folder))


if __name__ == "__main__":
    asyncio.run(take())
