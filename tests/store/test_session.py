import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scripted import failed, header, record
from tuibench.core.run.events import FailureKind
from tuibench.store.catalogue import find_session, list_sessions
from tuibench.store.schema import SessionError
from tuibench.store.session import load
from tuibench.store.writer import SessionWriter


def write(path, *records):
    writer = SessionWriter(path, header())
    for each in records:
        writer.append(each)
    return path


def test_what_is_appended_is_loaded(tmp_path):
    records = (record("baseline", warmup=True), record("baseline"), failed("kv-cache", FailureKind.CRASHED))
    session = load(write(tmp_path / "s.toml", *records))
    assert session.header == header()
    assert session.trials == records
    assert session.dropped == ()


def test_the_file_is_readable_by_a_person(tmp_path):
    text = write(tmp_path / "s.toml", record(step_ns=tuple(range(10**7, 10**7 + 200)))).read_text()
    assert max(map(len, text.splitlines())) < 120
    assert len(text.splitlines()) < 100


def test_a_number_that_does_not_exist_is_not_written(tmp_path):
    text = write(tmp_path / "s.toml", record(ttft_ns=None)).read_text()
    assert "ttft_ns" not in text
    assert load(tmp_path / "s.toml").trials[0].ttft_ns is None


def test_a_run_without_trials_leaves_no_file(tmp_path):
    writer = SessionWriter(tmp_path / "s.toml", header())
    assert not writer.created
    assert not (tmp_path / "s.toml").exists()


def test_an_existing_file_is_never_overwritten(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        write(path, record())
    assert path.read_text() == "mine"


def test_a_file_cut_anywhere_loads_up_to_its_last_whole_table(tmp_path):
    records = (record("baseline"), record("kv-cache"), failed("kv-cache", FailureKind.KILLED, index=1))
    whole = write(tmp_path / "s.toml", *records).read_bytes()
    starts = [at for at in range(len(whole)) if whole.startswith(b"[[trials]]", at)] + [len(whole)]
    cut_file = tmp_path / "cut.toml"
    for cut in range(starts[0], len(whole)):
        cut_file.write_bytes(whole[:cut])
        session = load(cut_file)
        n_whole = len(session.trials)
        assert session.trials == records[:n_whole]
        # Only white space may be missing of a table that counts as whole.
        assert not whole[cut : starts[n_whole]].strip() or cut >= starts[n_whole]
        if n_whole < len(records) and whole[starts[n_whole] : cut].strip(b"["):
            assert len(session.dropped) == 1


def test_a_damaged_table_in_the_middle_costs_only_itself(tmp_path):
    path = write(tmp_path / "s.toml", record("a"), record("b"), record("c"))
    path.write_text(path.read_text().replace('method = "b"', "method = b"))
    session = load(path)
    assert [trial.method for trial in session.trials] == ["a", "c"]
    assert "line" in session.dropped[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "schema_version"),
        (b"\xff\xfe\x00", "TOML"),
        (b"schema_version = 1", "incomplete"),
        (b"schema_version = 99", "newer tuibench"),
        (b'schema_version = "1"', "schema_version"),
        (b"a = [[[[", "TOML"),
    ],
)
def test_a_file_that_is_no_session_is_refused_by_name(tmp_path, content, words):
    path = tmp_path / "strange.toml"
    path.write_bytes(content)
    with pytest.raises(SessionError, match=words) as caught:
        load(path)
    assert "strange.toml" in str(caught.value)


def test_a_missing_file_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(SessionError, match="sessions list"):
        load(tmp_path / "none.toml")


@settings(max_examples=60)
@given(text=st.text(), message=st.text())
def test_any_text_survives_the_file(tmp_path_factory, text, message):
    path = tmp_path_factory.mktemp("any") / "s.toml"
    pieces = tuple(map(len, text))
    records = (
        record(text=text, piece_chars=pieces, token_ids=tuple(range(len(pieces))), step_ns=pieces[1:]),
        failed("x", FailureKind.ERROR, message=message),
    )
    assert load(write(path, *records)).trials == records


def test_lists_show_a_damaged_file_with_its_problem(tmp_path):
    write(tmp_path / "good.toml", record("baseline"), record("baseline", warmup=True))
    (tmp_path / "bad.toml").write_text("hello")
    good, bad = sorted(list_sessions([tmp_path, tmp_path]), key=lambda session: session.problem or "")
    assert (good.n_trials, good.model, good.problem) == (1, "SmolLM2-135M-Instruct", None)
    assert "bad.toml" in bad.problem


def test_find_session_takes_a_path_a_name_its_beginning_or_last(tmp_path):
    first = write(tmp_path / "2026-a.toml", record())
    second = write(tmp_path / "2027-b.toml", record())
    assert find_session(str(first), []) == first
    assert find_session("2027-b", [tmp_path]) == second
    assert find_session("2027", [tmp_path]) == second
    assert find_session("last", [tmp_path]) in (first, second)
    with pytest.raises(SessionError, match="several"):
        find_session("202", [tmp_path])
    with pytest.raises(SessionError, match="no such session"):
        find_session("x", [tmp_path])


def test_unknown_keys_do_not_stop_a_reader(tmp_path):
    path = write(tmp_path / "s.toml", record())
    path.write_text(path.read_text().replace("[[trials]]", "[[trials]]\nfuture = 7").replace("id =", "later = 1\nid ="))
    assert msgspec.structs.asdict(load(path).trials[0]) == msgspec.structs.asdict(record())
