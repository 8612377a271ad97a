import os
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuibench.core import format as fmt
from tuibench.core.statistics.stats import Ratio


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "–"),
        (850, "0.85 µs"),
        (7_449_000, "7.45 ms"),
        (93_200_000, "93.2 ms"),
        (290_000_000, "290 ms"),
        (3_210_000_000, "3.21 s"),
        (200e9, "3.33 min"),
    ],
)
def test_duration(ns, text):
    assert fmt.duration(ns) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (None, "–"),
        (512, "512 B"),
        (1536, "1.50 KiB"),
        (538_090_408, "513 MiB"),
        (1000 << 20, "0.98 GiB"),
        (24 << 30, "24.0 GiB"),
    ],
)
def test_size(n_bytes, text):
    assert fmt.size(n_bytes) == text


def test_a_moment_is_told_by_the_clock_of_the_place(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert fmt.moment(datetime(2026, 3, 1, 20, 5, tzinfo=UTC)) == "2026-03-02 05:05"
        assert fmt.moment(datetime(9999, 12, 31, 23, tzinfo=UTC)) == "9999-12-31 23:00"  # Tokyo has no such moment
    finally:
        monkeypatch.undo()
        time.tzset()
    assert fmt.moment(None) == "–"


@pytest.mark.parametrize(("n", "text"), [(0, "0 threads"), (1, "1 thread"), ("1", "1 thread"), ("?", "? threads")])
def test_one_is_in_the_singular(n, text):
    assert fmt.counted(n, "thread") == text


def test_a_count_of_one_is_singular_and_an_unknown_one_is_a_dash():
    assert [fmt.counted(n, "token") for n in (0, 1, "1", 2, None)] == [
        "0 tokens", "1 token", "1 token", "2 tokens", "– tokens",
    ]  # fmt: skip


def test_count_rate_and_clock():
    assert fmt.count(134_515_008) == "135 M"
    assert fmt.count(49_152) == "49,152"
    assert fmt.rate(3.1) == "3.10 tok/s"
    assert fmt.clock(83.4) == "1:23"
    assert fmt.clock(None) == fmt.rate(None) == fmt.count(None) == "–"


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (fmt.gain(Ratio(5.4, 5.1, 5.8, 3, paired=True)), "5.40× [5.10, 5.80]"),
        (fmt.gain(Ratio(12.4, None, None, 1, paired=True)), "12.4× [?]"),
        (fmt.gain(None), "–"),
        (fmt.change(-0.314), "−31 %"),
        (fmt.change(0.001), "±0 %"),
        (fmt.change(2.21), "+221 %"),
        (fmt.share(0.9652), "96.5 %"),
        (fmt.divergence(0.0045, 0.0004), "0.0045 ± 0.0004"),
        (fmt.divergence(0.0045, 1e-6), "0.0045 ± <0.0001"),
        (fmt.divergence(-1e-9, 1e-6), "0"),
        (fmt.divergence(None), "–"),
        (fmt.shortened("one\ntwo", 10), "one…"),
        (fmt.shortened("a long line", 6), "a lon…"),
        (fmt.shortened(" short ", 6), "short"),
    ],
)
def test_gains_changes_and_divergences(made, text):
    assert made == text


def test_printable_shows_what_a_terminal_would_act_on():
    assert fmt.printable("a\x1b[2J\x07b\x7f\x9b") == "a␛[2J␇b␡\N{REPLACEMENT CHARACTER}"
    assert fmt.printable("left\u202eright") == "left\N{REPLACEMENT CHARACTER}right"
    assert fmt.printable("tab\tline\nΣ 漢 🎉") == "tab\tline\nΣ 漢 🎉"


def test_a_name_in_any_bytes_is_shown_in_one_line():
    name = os.fsdecode("naïve\n\t".encode() + b"\xff")
    assert fmt.printable_line(name) == "naïve␊␉\N{REPLACEMENT CHARACTER}"
    assert fmt.as_text(name) == "naïve\n\t\N{REPLACEMENT CHARACTER}"


@given(st.text())
def test_printable_leaves_no_control_character(text):
    shown = fmt.printable(text)
    assert len(shown) == len(text)
    assert not any((ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160 for char in shown)


@pytest.mark.parametrize(
    ("asked_bytes", "asked", "beside"),
    [
        (600_000_000, "600 MB", "1074 MB"),
        (2_500_000, "2.5 MB", "1074 MB"),
        (2 << 30, "2.00 GiB", "1.00 GiB"),
        (3125 << 20, "3.05 GiB", "1.00 GiB"),
    ],
)
def test_a_size_that_was_typed_comes_back_in_its_unit(asked_bytes, asked, beside):
    assert fmt.size_asked(asked_bytes) == asked
    assert fmt.size_beside(1 << 30, asked_bytes) == beside


def test_a_size_just_above_another_is_not_written_like_it():
    assert fmt.size_beside(600_400_000, 600_000_000) == "600.4 MB"
    assert fmt.size_beside(600_000_000, 600_000_000) == "600 MB"


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "p < 0.001"), (0.00099, "p < 0.001"), (0.001, "p = 0.001"), (0.0421, "p = 0.042")]
)
def test_chance_is_never_shown_as_impossible(p, text):
    assert fmt.p_value(p) == text
