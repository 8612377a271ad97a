import os
from datetime import UTC, datetime

import msgspec
import pytest

from tests.ui.scripted import session as stored_session
from tuibench.store.annotations import annotate, tags_from
from tuibench.store.catalogue import find_session, list_sessions
from tuibench.store.schema import Annotation, SessionError
from tuibench.store.session import load
from tuibench.store.writer import SessionWriter

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def save(path, *, created=NOW, name="first look"):
    session = stored_session()
    writer = SessionWriter(path, msgspec.structs.replace(session.header, created=created, name=name))
    for record in session.trials:
        writer.append(record)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sessions").mkdir()
    return tmp_path / "sessions"


@pytest.fixture
def index(tmp_path):
    return tmp_path / "cache" / "sessions.json"


def test_a_summary_says_what_is_in_the_file(folder):
    path = save(folder / "a.toml")
    (summary,) = list_sessions([folder])
    assert (summary.name, summary.model, summary.n_trials) == ("first look", "SmolLM2-135M-Instruct", 4)
    assert summary.methods == ("baseline", "kv-cache")
    assert summary.fastest[0] == "kv-cache"
    assert summary.fastest[1] == pytest.approx(1000 / 24, rel=0.1)
    assert summary.cpu == "AMD EPYC 7763"
    assert summary.path == path
    assert summary.complete
    assert summary.readable


def test_sessions_are_listed_newest_first_and_damaged_ones_last_with_the_reason(folder):
    save(folder / "old.toml", created=datetime(2026, 1, 1, tzinfo=UTC))
    save(folder / "new.toml")
    (folder / "bad.toml").write_text("[oops")
    summaries = list_sessions([folder, folder, folder / "none"])
    assert [summary.path.stem for summary in summaries] == ["new", "old", "bad"]
    assert "not valid TOML at its top" in summaries[2].problem
    assert not summaries[2].readable
    assert summaries[2].fastest is None


def test_a_session_without_a_name_goes_by_what_was_asked(folder, index):
    header = stored_session().header
    settings = msgspec.structs.replace(header.settings, prompt="\n Why is the sky blue?\nAnd the sea?")
    nameless = msgspec.structs.replace(header, name="", settings=settings)
    SessionWriter(folder / "20260302-x.toml", nameless).append(stored_session().trials[0])
    save(folder / "named.toml")
    for _ in range(2):  # the second time from the index
        titles = {session.path.stem: session.title for session in list_sessions([folder], index=index, n_read=0)}
        assert titles == {"20260302-x": "Why is the sky blue?", "named": "first look"}


def test_a_first_look_reads_a_few_headers_and_lists_the_rest_by_name(folder, index):
    paths = [save(folder / f"{number}.toml", name=f"run {number}") for number in range(5)]
    for number, path in enumerate(paths):
        os.utime(path, (1000 + number, 1000 + number))
    looks = [list_sessions([folder], index=index, n_read=0, n_headers=2) for _ in range(3)]
    assert [sorted(session.path.stem for session in look if session.unread) for look in looks] == [
        ["0", "1", "2"],
        ["0"],
        [],
    ]
    unread = next(session for session in looks[0] if session.path.stem == "0")
    assert (unread.name, unread.model, unread.methods, unread.complete) == ("0", "", (), False)
    assert unread.created == datetime.fromtimestamp(1000, UTC)
    assert {session.name for session in looks[2]} == {f"run {number}" for number in range(5)}
    assert not any(session.complete for session in looks[2])
    assert all(session.complete for session in list_sessions([folder], index=index))


def test_a_recording_that_is_installed_and_lies_in_the_clone_is_one_session(folder, tmp_path):
    installed = tmp_path / "installed"
    installed.mkdir()
    save(folder / "sample.toml")
    (installed / "sample.toml").write_bytes((folder / "sample.toml").read_bytes())
    folders = [folder, installed]
    assert [summary.path for summary in list_sessions(folders)] == [installed / "sample.toml"]
    assert find_session("sample", folders) == installed / "sample.toml"
    annotate(folder / "sample.toml", Annotation(note="mine", written=NOW))
    assert len(list_sessions(folders)) == 2


def test_a_name_is_looked_up_among_names(folder, monkeypatch):
    for name in ("a", "a-2", "b"):
        save(folder / f"{name}.toml")
    monkeypatch.setattr("tuibench.store.catalogue.load_header", pytest.fail)
    found = [find_session(name, [folder]).stem for name in ("a", "a.toml", "a-", "b")]
    assert found == ["a", "a", "a-2", "b"]


def test_what_is_no_file_is_not_listed(folder):
    (folder / "folder.toml").mkdir()
    (folder / "link.toml").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.toml")
    assert list_sessions([folder]) == []


def test_a_header_is_enough_for_a_line_until_the_file_is_read(folder, index):
    for name in "abc":
        save(folder / f"{name}.toml")
    (folder / "bad.toml").write_text("[oops")
    n_complete = [
        sum(summary.complete for summary in list_sessions([folder], index=index, n_read=n)) for n in (0, 2, 0, 5)
    ]
    assert n_complete == [1, 3, 3, 4]  # of a damaged header there is no more to be read


def test_what_was_read_once_is_not_read_again_until_the_file_changes(folder, index, monkeypatch):
    save(folder / "a.toml")
    before = list_sessions([folder], index=index)
    read = []
    monkeypatch.setattr("tuibench.store.catalogue.load_outline", lambda path: read.append(path) or load(path))
    assert list_sessions([folder], index=index) == before
    assert read == []
    annotate(folder / "a.toml", Annotation(name="renamed", written=NOW))
    assert list_sessions([folder], index=index)[0].name == "renamed"
    assert read == [folder / "a.toml"]


def test_a_file_that_another_of_its_size_and_time_takes_the_place_of_is_read_again(folder, index, tmp_path):
    path = save(folder / "a.toml", name="the first")
    list_sessions([folder], index=index)
    other = save(tmp_path / "other.toml", name="the other")
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_size == status.st_size
    assert [session.name for session in list_sessions([folder], index=index)] == ["the other"]


def test_what_a_run_under_way_has_added_is_listed_and_half_a_table_is_told_until_it_is_whole(folder, index):
    path = save(folder / "a.toml")
    content = path.read_bytes()
    start = content.rindex(b"[[trials]]")
    n_trials, problems = [], []
    for end in (start, start + 20, len(content)):
        path.write_bytes(content[:end])
        (summary,) = list_sessions([folder], index=index)
        n_trials.append(summary.n_trials)
        problems.append(summary.problem is not None)
    assert n_trials == [3, 3, 4]
    assert problems == [False, True, False]


@pytest.mark.parametrize("content", [b"", b"[1, {}", b'[0, {"x": 1}]', b"\xff"])
def test_an_index_that_cannot_be_read_is_made_anew(folder, index, content):
    save(folder / "a.toml")
    index.parent.mkdir()
    index.write_bytes(content)
    assert list_sessions([folder], index=index)[0].n_trials == 4
    assert list_sessions([folder], index=index, n_read=0)[0].complete


def test_an_index_that_cannot_be_written_is_done_without(folder, tmp_path):
    save(folder / "a.toml")
    (tmp_path / "file").touch()
    assert len(list_sessions([folder], index=tmp_path / "file" / "index.json")) == 1


def test_a_session_that_is_gone_leaves_the_index_and_those_of_other_folders_stay(folder, index, tmp_path):
    other = tmp_path / "other"
    save(other / "c.toml")
    gone = save(folder / "a.toml")
    save(folder / "b.toml")
    list_sessions([folder, other], index=index)
    gone.unlink()
    save(folder / "d.toml")
    list_sessions([folder], index=index)
    text = index.read_text()
    assert "a.toml" not in text
    assert "c.toml" in text


def test_the_last_word_on_name_tags_and_note_counts(folder):
    path = save(folder / "a.toml")
    annotate(path, Annotation(tags=("one", "two"), note="first", written=NOW))
    annotate(path, Annotation(name="other", note='a "quoted"\nline', written=NOW))
    session = load(path)
    assert session.name == "other"
    assert session.annotation.tags == ("one", "two")
    assert session.annotation.note == 'a "quoted"\nline'
    assert len(session.trials) == 4
    assert session.dropped == ()
    assert list_sessions([folder])[0].tags == ("one", "two")


def test_an_annotation_of_a_file_that_was_cut_short_is_whole(folder):
    path = save(folder / "a.toml")
    path.write_bytes(path.read_bytes()[:-40])
    annotate(path, Annotation(tags=("cut",), written=NOW))
    session = load(path)
    assert session.annotation.tags == ("cut",)
    assert len(session.trials) == 3
    assert len(session.dropped) == 1


def test_annotating_a_file_that_is_gone_makes_none(folder):
    with pytest.raises(SessionError, match=r"a\.toml: no such session"):
        annotate(folder / "a.toml", Annotation(name="x", written=NOW))
    assert list(folder.iterdir()) == []


def test_tags_are_typed_with_blanks_or_commas():
    assert tags_from(" Laptop, #int8  laptop;x") == ("laptop", "int8", "x")
    assert tags_from(" ") == ()


def test_a_session_is_found_by_the_beginning_of_its_name(folder, index):
    save(folder / "20260101-a.toml", created=datetime(2026, 1, 1, tzinfo=UTC))
    save(folder / "20260102-b.toml")
    assert find_session("20260101", [folder], index=index).stem == "20260101-a"
    assert find_session("last", [folder], index=index).stem == "20260102-b"
    with pytest.raises(SessionError, match="several sessions"):
        find_session("2026", [folder], index=index)
    with pytest.raises(SessionError, match="no such session"):
        find_session("2027", [folder], index=index)
