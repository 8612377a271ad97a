"""The sessions screen on real files."""

import dataclasses
from datetime import timedelta

import msgspec
import pytest

from tests.ui.scripted import FINISHED, Program, answering, until
from tests.ui.scripted import session as stored_session
from tuibench import paths
from tuibench.store.schema import Annotation
from tuibench.store.session import load
from tuibench.store.trash import delete, deleted
from tuibench.store.writer import SessionWriter
from tuibench.ui.messages import ComparisonWanted
from tuibench.ui.screens.edit_session import EditSessionScreen
from tuibench.ui.screens.sessions import SessionsScreen
from tuibench.ui.services import Services

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three sessions, the newest called c; no samples."""
    monkeypatch.setattr(paths, "sample_sessions", lambda: tmp_path / "samples")
    for age, name in enumerate("cba"):
        save(paths.sessions_dir() / f"{name}.toml", age)
    return paths.sessions_dir()


def save(path, age):
    session = stored_session()
    created = FINISHED - timedelta(days=age)
    writer = SessionWriter(path, msgspec.structs.replace(session.header, created=created, name=f"session {path.stem}"))
    for record in session.trials:
        writer.append(record)


def app():
    program = Program()
    real = Services()
    program.services = answering(program.services, sessions=real.sessions, load_session=real.load_session)
    return program.app()


async def listed(pilot, n=3):
    await pilot.press("f3")
    screen = pilot.app.screen
    await until(pilot, lambda: screen.table.n_rows == n and not screen._n_unread)
    return screen


def names(screen):
    return [screen._sessions[key].name for key in screen.table.keys]


def notices(app):
    return [notice.message for notice in app._notifications]


async def test_a_session_gets_name_tags_and_note(folder):
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot)
        await pilot.press("j", "e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditSessionScreen))
        await pilot.pause()
        await pilot.press(*"new", "tab", *"Laptop", "space", *"int8", "tab", *"hot", "enter")
        await until(pilot, lambda: pilot.app.screen is screen and "new" in names(screen))
        assert names(screen) == ["session c", "new", "session a"]
        assert screen.table.at == 1
        session = load(folder / "b.toml")
        assert (session.name, session.annotation.tags, session.annotation.note) == ("new", ("laptop", "int8"), "hot")
        assert "#laptop #int8" in str(screen.card.content)


async def test_escape_in_the_dialog_changes_nothing(folder):
    before = (folder / "c.toml").read_bytes()
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot)
        for key in ("escape", "enter"):
            await pilot.press("e")
            await until(pilot, lambda: isinstance(pilot.app.screen, EditSessionScreen))
            await pilot.pause()
            await pilot.press(*"x" if key == "escape" else (), key)
            await until(pilot, lambda: pilot.app.screen is screen)
    assert (folder / "c.toml").read_bytes() == before


async def test_only_what_is_changed_is_written(folder):
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditSessionScreen))
        await pilot.pause()
        await pilot.press("tab", *"x", "enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        await until(pilot, lambda: load(folder / "c.toml").annotation is not None)
    said = load(folder / "c.toml").annotation
    assert said == Annotation(tags=("x",), written=said.written)


async def test_a_deleted_session_comes_back():
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot)
        await pilot.press("j", "x")
        await until(pilot, lambda: names(screen) == ["session c", "session a"])
        assert notices(pilot.app) == ["deleted session b – u brings it back"]
        await pilot.press("u")
        await until(pilot, lambda: names(screen) == ["session c", "session b", "session a"])
        assert notices(pilot.app) == ["1 session back"]  # and no longer how to bring it back
        await pilot.press("u")
        await pilot.pause()
        assert notices(pilot.app)[-1] == "nothing was deleted in the last 30 days"


async def test_marked_sessions_are_deleted_and_brought_back_together():
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot)
        await pilot.press("space", "space", "delete")
        await until(pilot, lambda: names(screen) == ["session a"])
        await pilot.press("u")
        await until(pilot, lambda: len(names(screen)) == 3)


async def test_what_an_earlier_visit_deleted_can_be_brought_back(folder):
    delete(folder / "a.toml")
    async with app().run_test(size=(120, 40)) as pilot:
        await listed(pilot, 2)
        await pilot.press("u")
        await until(pilot, (folder / "a.toml").exists)
    assert deleted(folder) == []


async def test_a_session_that_is_gone_is_told(folder):
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot)
        (folder / "c.toml").unlink()
        await pilot.press("x")
        await until(pilot, lambda: len(names(screen)) == 2)
        assert notices(pilot.app) == ["c.toml: cannot be deleted: No such file or directory"]


async def test_a_recording_that_ships_is_neither_deleted_nor_edited(tmp_path):
    save(tmp_path / "samples" / "sample.toml", age=-1)
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot, 4)
        await pilot.press("x", "e")
        await pilot.pause()
        assert pilot.app.screen is screen
        assert notices(pilot.app) == ["session sample comes with tuibench and stays as it is"] * 2
    assert (tmp_path / "samples" / "sample.toml").exists()


async def test_marked_sessions_are_compared_the_oldest_first_else_the_current_one():
    messages = []
    async with app().run_test(size=(120, 40), message_hook=messages.append) as pilot:
        pilot.app.action_compare = lambda _chosen: None
        await listed(pilot)
        await pilot.press("c", "space", "j", "space", "c")
        await pilot.pause()
    chosen = [[path.stem for path in message.paths] for message in messages if isinstance(message, ComparisonWanted)]
    assert ["c"] in chosen
    assert ["a", "c"] in chosen


async def test_the_list_narrows_with_every_letter_and_keeps_what_was_found():
    async with app().run_test(size=(80, 24)) as pilot:
        screen = await listed(pilot)
        await pilot.press("slash", *"02", "minus", *"28", "space", *"epyc")
        await until(pilot, lambda: names(screen) == ["session b"])
        await pilot.press("enter")
        assert screen.table.has_focus
        assert screen.query_line.display
        await pilot.press("escape")
        await until(pilot, lambda: len(names(screen)) == 3)
        assert not screen.query_line.display


async def test_nothing_found_says_how_to_see_all():
    async with app().run_test(size=(80, 24)) as pilot:
        screen = await listed(pilot)
        await pilot.press("slash", *"zzz")
        await until(pilot, lambda: "esc shows all 3" in str(screen.card.content))
        await pilot.press("escape")
        await until(pilot, lambda: len(names(screen)) == 3)
        assert screen.table.has_focus


async def test_the_order_follows_the_key():
    async with app().run_test(size=(80, 24)) as pilot:
        screen = await listed(pilot)
        await pilot.press("s")
        assert names(screen) == ["session a", "session b", "session c"]
        assert "name ▲" in screen.status.state
        await pilot.press("S")
        assert names(screen) == ["session c", "session b", "session a"]


async def test_all_that_is_listed_is_marked_and_unmarked():
    async with app().run_test(size=(80, 24)) as pilot:
        screen = await listed(pilot)
        await pilot.press("a")
        assert len(screen._marked) == 3
        assert "3 marked" in screen.status.state
        await pilot.press("a")
        assert not screen._marked
        await pilot.press("space", "escape")
        assert not screen._marked


async def test_vi_keys_move_in_the_list():
    async with app().run_test(size=(80, 24)) as pilot:
        screen = await listed(pilot)
        rows = []
        for key in ("j", "j", "k", "G", "g"):
            await pilot.press(key)
            await pilot.pause()
            rows.append(screen.table.at)
        assert rows == [1, 2, 1, 2, 0]
        assert isinstance(pilot.app.screen, SessionsScreen)


async def test_headers_are_listed_before_the_files_are_read(monkeypatch):
    monkeypatch.setattr("tuibench.ui.screens.sessions._N_READ", 1)
    read = []
    application = app()
    real = application.context.services.sessions
    services = answering(application.context.services, sessions=lambda *wanted: read.append(wanted) or real(*wanted))
    application.context = dataclasses.replace(application.context, services=services)
    async with application.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
    assert read == [(0, 100), (1,), (1,), (1,)]
