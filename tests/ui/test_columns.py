from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tuibench.ui.text.columns import TableColumn, fit, heading, line

COLUMNS = (
    TableColumn("name", "name", 6, 100, left=True),
    TableColumn("speed", "speed", 5, 90, wide=12, wide_importance=50),
    TableColumn("size", "size", 4, 60),
    TableColumn("note", "note", 4, 10),
)


def test_the_most_important_columns_come_first_and_keep_their_order():
    assert fit(COLUMNS, 13) == {"name": 6, "speed": 5}
    assert fit(COLUMNS, 19) == {"name": 6, "speed": 5, "size": 4}
    assert fit(COLUMNS, 5) == {"speed": 5}


def test_a_wide_form_goes_before_a_less_important_column():
    assert fit(COLUMNS, 26) == {"name": 6, "speed": 12, "size": 4}
    assert fit(COLUMNS, 32) == {"name": 6, "speed": 12, "size": 4, "note": 4}


def test_a_hidden_column_leaves_its_room_to_others():
    assert fit(COLUMNS, 20, hidden={"size"}) == {"name": 6, "speed": 12}


@given(st.integers(0, 60))
def test_rows_are_never_wider_than_the_room(width):
    widths = fit(COLUMNS, width)
    cells = {"name": "a very long name", "speed": ("12.5 [11, 14]", "red"), "size": "9", "note": "n"}
    row = line(COLUMNS, widths, cells)
    assert row.cell_length <= width
    assert heading(COLUMNS, widths, "speed", "▾").cell_length == row.cell_length


def test_cells_that_are_left_over_go_to_texts_that_would_be_cut():
    name, speed, *others = COLUMNS
    name = replace(name, longest=10)
    columns = (name, speed, *others)
    assert fit(columns, 13) == {"name": 6, "speed": 5}
    assert fit(columns, 16) == {"name": 9, "speed": 5}
    assert fit(columns, 30) == {"name": 10, "speed": 12, "size": 4}


def test_a_column_takes_no_more_than_its_longest_text_or_its_label():
    name, speed, size, note = COLUMNS
    columns = (replace(name, width=12, longest=15), speed, replace(size, width=9, longest=2), note)
    assert fit(columns, 30) == {"name": 15, "speed": 5, "size": 4}


LONGEST = st.none() | st.integers(0, 40)


@given(st.integers(0, 120), st.lists(LONGEST, min_size=4, max_size=4))
def test_no_text_is_cut_while_cells_are_left_over(width, longest):
    columns = [replace(column, longest=length) for column, length in zip(COLUMNS, longest, strict=True)]
    widths = fit(columns, width)
    n_used = sum(widths.values()) + 2 * (len(widths) - 1)
    assert n_used <= width or not widths
    cut = [each for each in columns if each.id in widths and (each.longest or 0) > widths[each.id]]
    assert not cut or n_used == width
