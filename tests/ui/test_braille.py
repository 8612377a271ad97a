from hypothesis import given
from hypothesis import strategies as st

from tuibench.ui.look.braille import Canvas, Columns, log_scale, named_rows, nice_top


def drawn(values, height, top):
    """Rows of one line on a linear scale."""
    canvas = Canvas((len(values) + 1) // 2, height)
    canvas.line(values, lambda value: min(value, top) / top, 0)
    return ["".join(text for text, _ in row) for row in canvas.rows()]


def test_one_spike_in_many_values_is_drawn():
    columns = Columns(1000, 40)
    columns.extend([10.0] * 500 + [100.0] + [10.0] * 499)
    assert max(columns.columns) == 100.0
    assert drawn(columns.columns, 4, 100.0)[0].strip()


def test_a_flat_line_is_one_row_of_dots():
    assert drawn([0.0] * 4, 2, 1.0) == ["  ", "⣀⣀"]


def test_neighbours_are_joined_by_a_vertical():
    assert drawn([0.0, 1.0], 1, 1.0) == ["⣸"]


def test_a_gap_stays_blank():
    assert drawn([None, None, 0.0, 0.0], 1, 1.0) == [" ⣀"]


def test_values_above_the_top_stay_inside():
    assert drawn([5.0, 5.0], 2, 1.0)[0] == "⠉"


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


@given(st.floats(1e-6, 1e12), st.floats(1, 1e6))
def test_a_logarithmic_scale_holds_its_range_and_ends_in_round_numbers(low, factor):
    scale = log_scale(low, low * factor)
    assert scale.low <= low * 1.002
    assert scale.high >= low * factor * 0.999
    assert scale.low < scale.high
    ticks = scale.ticks()
    assert abs(ticks[0] / scale.low - 1) < 1e-6
    assert abs(ticks[-1] / scale.high - 1) < 1e-6
    assert all(f"{tick:e}"[0] in "125" for tick in ticks)


def test_where_lines_cross_the_later_one_owns_the_cell():
    canvas = Canvas(1, 1)
    canvas.line([0.0, 0.0], float, 0)
    canvas.line([None, 1.0], float, 1)
    assert canvas.rows() == [[("⣈", 1)]]


def test_dots_outside_are_left_out():
    canvas = Canvas(1, 1)
    canvas.dot(2, 0, 0)
    canvas.dot(0, -1, 0)
    assert canvas.rows() == [[(" ", -1)]]


def test_letters_stand_on_their_lines_and_each_owner_has_places_of_its_own():
    canvas = Canvas(60, 4)
    for owner, (level, char) in enumerate(((0.0, "A"), (1.0, "B"), (1.0, "C"))):
        canvas.letters([level] * 120, lambda value: value, owner, char)
    top, bottom = ("".join(text for text, _ in canvas.rows()[y]) for y in (0, 3))
    assert bottom.count("A") >= 4
    assert top.count("B") >= 4
    assert top.count("C") >= 4
    assert {char for char in top + bottom if char != " "} == {"A", "B", "C"}


def test_names_stand_as_near_to_the_ends_of_their_lines_as_there_is_room():
    assert named_rows({0: 2, 1: 2, 2: 0}, 4) == {2: 0, 1: 1, 0: 2}
    assert named_rows({1: 2, 0: 2}, 4) == {2: 1, 1: 0}
    assert named_rows({0: 0, 1: 0, 2: 0}, 2) == {0: 0, 1: 1}
