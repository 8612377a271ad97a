"""What is read past Python's parser is read as that parser reads it, or not at all."""

import random
import tomllib
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.campaigns.fuzz import mutated
from tuibench import paths
from tuibench.plain_toml import plain_table
from tuibench.store.toml_text import toml_text

KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
MOMENTS = st.datetimes(
    timezones=st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
)
INTEGERS = st.integers(-(10**18) + 1, 10**18 - 1)
TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.one_of(
    INTEGERS, st.booleans(), TEXT, st.dates(), MOMENTS, st.lists(INTEGERS), st.lists(TEXT),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
TABLES = st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES)))
SAMPLE = (paths.sample_sessions() / "sample-first-look.toml").read_bytes()


def as_python_reads(text):
    """Return the table as text, so that 1 is not 1.0; None where there is none."""
    try:
        return repr(tomllib.loads(text))
    except ValueError:
        return None


def is_read_alike(text):
    table = plain_table(text)
    return table is None or repr(table) == as_python_reads(text)


@given(TABLES)
def test_any_table_that_is_written_as_sessions_are_is_read(table):
    text = toml_text(table)
    assert repr(plain_table(text)) == as_python_reads(text)


@given(TABLES)
def test_any_table_that_tomli_w_writes_is_read_alike(table):
    assert is_read_alike(tomli_w.dumps({"trials": [table]}))


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("", {}),
        ("a = -0", {"a": 0}),
        ("a = 1e5\n\n\nb = -1.5E-3", {"a": 1e5, "b": -1.5e-3}),
        ("a = 999999999999999999", {"a": 10**18 - 1}),
        ("a = [9223372036854775807, -9223372036854775808]", {"a": [2**63 - 1, -(2**63)]}),
        ("a = [\n    1, 2,\n    3,\n]", {"a": [1, 2, 3]}),
        ('a = [\n    "[",\n    "]",\n]', {"a": ["[", "]"]}),
        (r'a = "\"\\\b\f\n\r\t\u00e9\u001F"', {"a": '"\\\b\f\n\r\té\x1f'}),
        ("a = 2026-03-01 01:02:03.5+00:00", None),
        ("a = 2026-03-01T01:02:03.250Z", {"a": datetime(2026, 3, 1, 1, 2, 3, 250_000, UTC)}),
        ('a = "\t\\t"', {"a": "\t\t"}),
        ("a = 2026-03-01", {"a": date(2026, 3, 1)}),
        ("[a]\nb = 1\n[a.c]\nd = 1", {"a": {"b": 1, "c": {"d": 1}}}),
        ("[[t]]\na = []", {"t": [{"a": []}]}),
    ],
)
def test_how_sessions_are_spelled_is_read(text, table):
    assert plain_table(text) == table
    assert is_read_alike(text)


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\na = 2", "[a]\n[a]", "a = 1\n[a]", "[a.b]\n[a]", "[[a]]\n[a]", "[[a]]\n[a.b]", "[[a]]\n[[a]]",
        "[a]\n[[a]]",
        "a = [ ,\n]", "a = [1,\r2]", 'a = [1, "x"]', 'a = ["x", 1]', "a = [1, true]", "a = [1, 1e2]",
        "a = [,\n]", "a = [1 2]", "a = [1,,\n]", "a = [1, 2,]", "a = [1-2]", "a = [01]", "a = [1, -]", 'a = ["x" "y"]',
        "a = 01", "a = +1", "a = 0x10", "a = 1_0", "a = .5", "a = 5.", "a = 1e999", "a = inf", "a = nan",
        "a = 9223372036854775808", "a = [9223372036854775808]", "a = [1, " + "9" * 5000 + "]",
        r'a = "\ud83d\ude00"', r'a = "\U0001f600"', r'a = "\/"', r'a = "\x41"', 'a = "\x7f"', 'a = "b',
        "a = 'b'",
        'a = """b"""', "a = 2026-02-30", "a = 0000-01-01", "a = 2026-03-01T24:00:00Z", "a = 2026-03-01T01:02:60Z",
        "a = 2026-03-01T01:02:03", "a = 2026-03-01T01:02:03+24:00", "a = 2026-03-01T01:02:03.1234567Z", "a = 01:02:03",
        "a = {b = 1}", "a = [[1]]", "a = [1.5]", "a = true # b", "# b", "a=1", " a = 1", "a = 1 ", "a = 1\r\n",
        "a.b = 1",
        '"a" = 1', "a = ٣", "é = 1", "a = True", "a", "= 1", "[", "[[", "[[]]", "[a", "[a]]", "\ufeffa = 1",
        "a = 1\x00",
    ],
)  # fmt: skip
def test_what_is_spelled_otherwise_or_wrong_is_left_to_pythons_parser(text):
    assert plain_table(text) is None


@settings(max_examples=400)
@given(st.integers(0, 2**32))
def test_a_changed_session_is_read_alike(seed):
    tables = [b"[[" + table for table in SAMPLE.split(b"\n[[")[1:]]
    samples = (SAMPLE.split(b"\n[[")[0], *(table for table in tables if len(table) < 2500))
    assert is_read_alike(mutated(samples, random.Random(seed)).decode(errors="replace"))
