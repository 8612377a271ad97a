from hypothesis import given
from hypothesis import strategies as st

from tuibench.ui.braille import Columns, braille_rows, nice_top


def test_one_spike_in_many_values_is_drawn():
    columns = Columns(1000, 40)
    columns.extend([10.0] * 500 + [100.0] + [10.0] * 499)
    assert max(columns.columns) == 100.0
    assert braille_rows(columns.columns, 4, 100.0)[0].strip()


def test_a_flat_line_is_one_row_of_dots():
    assert braille_rows([0.0] * 4, 2, 1.0) == ["  ", "⣀⣀"]


def test_neighbours_are_joined_by_a_vertical():
    assert braille_rows([0.0, 1.0], 1, 1.0) == ["⣸"]


def test_a_gap_stays_blank():
    assert braille_rows([None, None, 0.0, 0.0], 1, 1.0) == [" ⣀"]


def test_values_above_the_top_stay_inside():
    assert braille_rows([5.0, 5.0], 2, 1.0)[0] == "⠉"


def test_more_values_than_expected_share_the_last_column():
    columns = Columns(2, 2)
    columns.extend([1.0, 2.0, 9.0])
    assert columns.columns == [1.0, 9.0]


def test_few_values_fill_all_columns():
    columns = Columns(2, 6)
    columns.extend([1.0, 2.0])
    assert columns.columns == [1.0] * 3 + [2.0] * 3


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=60), st.integers(1, 60), st.integers(0, 60))
def test_columns_do_not_depend_on_how_the_values_arrive(values, n_columns, cut):
    at_once, in_two = Columns(len(values), n_columns), Columns(len(values), n_columns)
    at_once.extend(values)
    in_two.extend(values[:cut])
    in_two.extend(values[cut:])
    assert at_once.columns == in_two.columns
    assert max(value for value in at_once.columns if value is not None) == max(values)


@given(st.floats(1e-6, 1e15))
def test_nice_top_is_the_next_1_2_5(value):
    top = nice_top(value)
    assert value <= top <= value * 2.5 * 1.000001
    assert f"{top:e}"[0] in "125"
