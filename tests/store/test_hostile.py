"""Sessions from anybody: whatever is in the file, only a `SessionError` comes out, soon and with little memory."""

import os

import pytest

from tests.campaigns.fuzz import fuzz
from tests.scripted import header, record
from tuibench.store.schema import SessionError
from tuibench.store.session import load, session_from
from tuibench.store.writer import SessionWriter
from tuibench.toml_input import TomlInputError, parse, read_text


@pytest.mark.parametrize(
    ("target", "n_inputs"), [("session", 1500), ("theme", 1500), ("wire", 20_000), ("weights", 3000)]
)
def test_mutated_input_raises_nothing_but_its_own_error(target, n_inputs):
    assert fuzz(target, n_inputs).n_inputs == n_inputs


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "whole.toml"
    SessionWriter(path, header()).append(record())
    return path.read_text()


@pytest.mark.parametrize(
    "hostile",
    [
        "a." * 400_000 + "a = 1",
        '"a".' * 300_000 + "a = 1",
        "a . " * 400_000 + "a = 1",
        "[" + "a." * 300_000 + "a]",
        "a = " + "[" * 100_000,
        "a = " + "{a=" * 50_000,
        "a = " + "1" * 2_000_000,
        "a = " + "1" * 2_000_000 + ".5",
        "a = 9223372036854775808",
        'a = """' + "x" * 3_000_000,
        '"' * 3_000_000,
        "a = 2020-02-30",
    ],
    ids=lambda text: text[:12],
)
def test_toml_that_would_hang_or_crash_the_parser_is_refused(hostile):
    with pytest.raises(TomlInputError):
        parse(hostile)


def test_ordinary_toml_passes():
    long = "." * 5000 + "'\\\"" * 300
    table = {"text": long, "a": {"b": {"c": [1, 2.5, True]}}}
    import tomli_w

    assert parse(tomli_w.dumps(table)) == table


@pytest.mark.parametrize(
    ("honest", "hostile"),
    [
        ("step_ns = [", "step_ns = [-1, "),
        ("piece_chars = [", "piece_chars = [900, "),
        ("token_ids = [5, ", "token_ids = ["),
        ("ttft_ns = ", "ttft_ns = 0 # "),
        ("index = 0", "index = -1"),
        ("n_prompt = 12", "n_prompt = 99999999999999999999"),
        ("n_prompt = 12", 'n_prompt = "12"'),
        ("+00:00", ""),
        ('method = "kv-cache"', "method = 7"),
    ],
)
def test_numbers_that_do_not_fit_each_other_cost_their_table(text, tmp_path, honest, hostile):
    head, table = text.split("[[trials]]")
    assert honest in table or honest == "+00:00"
    changed = table.replace(honest, hostile) if honest in table else table.replace("Z", "")
    session = session_from(f"{head}[[trials]]{changed}".encode(), tmp_path)
    assert session.trials == ()
    assert len(session.dropped) == 1


@pytest.mark.parametrize(
    ("honest", "hostile"),
    [
        ("order = [", 'order = ["other", '),
        ("methods = [", 'methods = ["kv-cache", '),
        ("n_trials = 1", "n_trials = -1"),
        ("schema_version = 1", "schema_version = true"),
        ("schema_version = 1", "schema_version = 0"),
        ("schema_version = 1", "schema_version = 1.5"),
        ("n_threads = 2", "n_threads = []"),
    ],
)
def test_a_header_that_nobody_writes_is_refused(text, tmp_path, honest, hostile):
    assert honest in text
    with pytest.raises(SessionError, match="strange"):
        session_from(text.replace(honest, hostile).encode(), tmp_path / "strange.toml")


def test_a_flood_of_damaged_tables_is_told_in_a_few_lines(text, tmp_path):
    session = session_from((text + "[[trials]]\nx = \n" * 5000).encode(), tmp_path)
    assert len(session.trials) == 1
    assert len(session.dropped) == 21
    assert "4980 further" in session.dropped[-1]


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    for name in ("pipe", "folder", "zero", "loop", "a\0b"):
        with pytest.raises(SessionError):
            load(tmp_path / f"{name}.toml")


def test_a_file_that_grows_while_it_is_read_stays_within_the_limit(tmp_path):
    path = tmp_path / "big.toml"
    path.write_bytes(b"#" * 101)
    with pytest.raises(TomlInputError, match="larger"):
        read_text(path, 100)


def test_a_link_to_a_session_is_read_and_a_deleted_link_leaves_the_session(text, tmp_path):
    real = tmp_path / "real.toml"
    real.write_text(text)
    link = tmp_path / "link.toml"
    link.symlink_to(real)
    assert len(load(link).trials) == 1
    link.unlink()
    assert real.exists()
