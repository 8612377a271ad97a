"""What somebody came for, each within six keys of the result: told as the keys that they press."""

from datetime import timedelta
from pathlib import Path

from tests.ui.scripted import FINISHED, FOUR, KLD, Program, answering, compared, scored, until, whole_run
from tests.ui.test_bench import ended, ready
from tests.ui.test_snapshots import METHODS_OF_FOUR
from tuibench.core.run.run_events import QualityEnded, RunEnded
from tuibench.store.catalogue import SessionSummary
from tuibench.store.side_by_side import SideBySide
from tuibench.ui.screens.compare import CompareScreen
from tuibench.ui.screens.take import TakeScreen
from tuibench.ui.take_process import Taken

MOST_KEYS = 6
MEASURED = [*whole_run(FOUR, n_trials=12)[:-1], *(QualityEnded(scored(name)) for name in KLD), RunEnded()]
DAYS = [
    SessionSummary(Path(f"{name}.toml"), name, FINISHED - timedelta(days=age), "SmolLM2-135M-Instruct", FOUR, 12)
    for age, name in enumerate(("today", "yesterday"))
]


async def press(pilot, *keys):
    assert len(keys) <= MOST_KEYS
    await pilot.press(*keys)


async def test_five_stories(tmp_path):
    asked = []
    program = Program(MEASURED, methods=METHODS_OF_FOUR, sessions=DAYS)
    program.take_events = [Taken(tmp_path / "home")]
    written = lambda _comparison, kind, _stem: asked.append(kind) or tmp_path / f"first.{kind}"  # noqa: E731
    program.services = answering(
        program.services,
        compare=lambda paths, _yardstick: asked.append(paths) or SideBySide(compared(len(paths))),
        export=written,
        why_not_taken=lambda _method: None,
    )
    async with program.app().run_test(size=(80, 24)) as pilot:
        bench = await ready(pilot)
        # The best method for what I have.
        await press(pilot, "escape", "p", "enter")
        await until(pilot, lambda: program.specs)
        bench = await ended(pilot)
        assert bench.strip.result.sentence.plain.startswith("Take int8-torch: the fastest with KLD ≤ 0.05")
        # Is the difference real?
        await press(pilot, "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen) and pilot.app.screen.table.keys)
        assert "int8-torch" in str(pilot.app.screen.verdict.content)
        await press(pilot, "escape")
        # Yesterday against today.
        await press(pilot, "f3")
        sessions = pilot.app.screen
        await until(pilot, lambda: sessions.table.n_rows == len(DAYS))
        await press(pilot, "a", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen) and pilot.app.screen.table.keys)
        assert asked[-1] == (Path("yesterday.toml"), Path("today.toml"))
        assert "no difference" in str(pilot.app.screen.changed.content)  # both days measured the same
        await press(pilot, "escape", "f2")
        # Send it to a colleague.
        await press(pilot, "e", "enter")
        await until(pilot, lambda: asked[-1] == "html")
        # Use the winner.
        await press(pilot, "u", "enter")
        await until(pilot, lambda: program.taken)
        assert isinstance(pilot.app.screen, TakeScreen)
        assert program.taken[0].method == "int8-torch"
