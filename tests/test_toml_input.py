"""Long arrays are parsed past Python's parser: the result must be the same."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuibench.toml_input import TomlInputError, parse

LONG = ", ".join(map(str, range(-8, 32)))


@pytest.mark.parametrize(
    "text",
    [
        f"a = [{LONG}]",
        f"a = [\n    {LONG},\n]\nb = 3",
        f"a=[{LONG}]\n[[t]]\nb = [ {LONG} ] # [{LONG}]",
        f'a = "= [{LONG}]"',
        f"a = '''\n= [{LONG}]\n'''\nb = [{LONG}]",
        f'a = """\nb = [{LONG}]\n\\""""\nc = [{LONG}]',
        f"# a = [{LONG}]\na = {{ b = [{LONG}], c = [[{LONG}], [1]] }}",
        f"a = [{LONG}]\nf = 0.1234567890123456789012",
        f"a = [{LONG}, 9223372036854775807]",
        f"a = [{LONG}, 0x10, 1_000, 1.5]",
        f"a = [{LONG}, # why\n 1]",
    ],
)
def test_long_arrays_are_read_as_pythons_parser_reads_them(text):
    assert parse(text) == tomllib.loads(text)


@given(st.lists(st.integers(-(10**18), 10**18), max_size=60), st.text(max_size=40))
def test_any_array_beside_any_text_is_read_as_pythons_parser_reads_it(numbers, beside):
    quoted = "".join(f"\\U{ord(char):08X}" for char in beside if not 0xD800 <= ord(char) < 0xE000)
    text = f'a = {numbers}\nb = "{quoted} = {numbers}"\nc = {numbers}'
    assert parse(text) == tomllib.loads(text)


@pytest.mark.parametrize("place", [2**64, 2**64 + 1, 2**80])
def test_a_number_that_could_be_taken_for_an_array_is_refused(place):
    with pytest.raises(TomlInputError, match="64 bits"):
        parse(f"a = [{LONG}]\nb = {place}")


@pytest.mark.parametrize(
    "text", [f"a = [{LONG}", f"a = [{LONG},,]", f"a = [{LONG}] 3", f"a = [01, {LONG}]", f"= [{LONG}]"]
)
def test_broken_arrays_are_refused(text):
    with pytest.raises(TomlInputError):
        parse(text)


def test_a_byte_order_mark_at_the_beginning_is_passed_over():
    assert parse("\ufeffa = 1") == {"a": 1}
    assert parse("a = '\ufeff'") == {"a": "\ufeff"}
