from pathlib import Path

import pytest

from tests.scripted import header, record
from tuibench.store.catalogue import list_sessions
from tuibench.store.imports import import_session
from tuibench.store.schema import SessionError
from tuibench.store.session import load
from tuibench.store.writer import SessionWriter


@pytest.fixture
def theirs(tmp_path):
    path = tmp_path / "theirs" / "what they call it.toml"
    writer = SessionWriter(path, header())
    writer.append(record())
    return path


def test_a_session_is_taken_under_its_own_name_once(tmp_path, theirs):
    folder = tmp_path / "ours"
    first = import_session(theirs, folder)
    assert (first.path.stem, first.new) == (header().id, True)
    assert first.path.read_bytes() == theirs.read_bytes()
    again = import_session(theirs, folder)
    assert (again.path, again.new) == (first.path, False)
    assert [each.path for each in list_sessions([folder])] == [first.path]


def test_another_of_the_same_name_stands_beside_it_and_nothing_is_overwritten(tmp_path, theirs):
    folder = tmp_path / "ours"
    first = import_session(theirs, folder)
    before = first.path.read_bytes()
    theirs.write_text(theirs.read_text().replace("Hello", "Good day"))
    second = import_session(theirs, folder)
    assert second.new
    assert second.path != first.path
    assert first.path.read_bytes() == before
    assert load(second.path).trials != load(first.path).trials
    assert not import_session(theirs, folder).new


def test_a_name_that_leads_elsewhere_does_not(tmp_path, theirs):
    theirs.write_text(theirs.read_text().replace(f'id = "{header().id}"', 'id = "../../../elsewhere"'))
    taken = import_session(theirs, tmp_path / "ours")
    assert taken.path.parent == tmp_path / "ours"
    assert load(taken.path)


@pytest.mark.parametrize("content", [b"", b"not = 'a session'\n", b"\xff\xfe"])
def test_what_is_not_a_session_is_refused(tmp_path, content):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(SessionError):
        import_session(path, tmp_path / "ours")
    with pytest.raises(SessionError):
        import_session(Path("nowhere.toml"), tmp_path / "ours")
    assert not list((tmp_path / "ours").glob("*"))
