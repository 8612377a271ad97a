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
