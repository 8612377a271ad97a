from __future__ import annotations

import json
import math
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tuibench.models.json_object import JsonObjectError, read_json_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def test_a_configuration_that_transformers_writes_with_infinity_is_read(tmp_path):
    from transformers import AutoConfig, Mamba2Config

    path = tmp_path / "config.json"
    Mamba2Config().save_pretrained(tmp_path)
    limit = read_json_object(path)["time_step_limit"]
    assert limit == [0.0, math.inf] == list(AutoConfig.from_pretrained(tmp_path).time_step_limit)
    path.write_text(json.dumps(read_json_object(path)))  # as older versions write it
    assert ", Infinity]" in path.read_text()
    assert read_json_object(path)["time_step_limit"] == limit
    assert list(AutoConfig.from_pretrained(tmp_path).time_step_limit) == limit


@given(st.dictionaries(st.text(), VALUES))
@example({"a": "\U0001f600"})
def test_what_python_writes_is_read(tmp_path_factory, written):
    path = tmp_path_factory.getbasetemp() / "x.json"
    path.write_text(json.dumps(written))
    assert read_json_object(path) == written


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "Expecting property name"),
        (b"[1]", "not list"),
        (b'"\xff"', r"not UTF-8 text \(byte 1\)"),
        (b"\xef\xbb\xbf{}", "BOM"),  # transformers does not read it either
        (b'{"a": "\\ud83d"}', "half a character"),
        (b'{"a":' * 200_000, "too deeply"),
        (b'{"a": ' + b"1" * (sys.get_int_max_str_digits() + 1) + b"}", "digits"),
    ],
)
def test_what_is_none_is_refused_with_its_reason(tmp_path, content, reason):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(JsonObjectError, match=reason):
        read_json_object(tmp_path / "x.json")
