"""The arrows of the README's first picture point at what they speak of, whatever the table's columns are."""

import re
from html import unescape
from pathlib import Path

import pytest

from tests.explained import Callout, explained
from tests.screenshots import CALLOUTS, QUESTION
from tuibench import paths

SNAPSHOTS = Path(__file__).parent / "ui" / "__snapshots__" / "test_snapshots"
TAKEN = paths.sample_sessions() / "sample-compare.svg"
TEXT = re.compile(r'x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"[^>]*>([^<]*)</text>')
ARROW = re.compile(r'd="M[\d.]+ [\d.]+ L([\d.]+) ([\d.]+)" stroke')
LEFT, TOP, ROW = 9, 41, 24.4  # of the terminal's first cell in Textual's drawings


def pointed_at(taken, callouts):
    """Return the words at the tip of each arrow from below, as they stand in the drawing."""
    found = []
    for x, y in list(ARROW.findall(explained(taken, "?", callouts)))[1:]:
        for left, top, length, content in TEXT.findall(taken):
            text = unescape(content).replace("\N{NO-BREAK SPACE}", " ")
            at = (float(x) - LEFT - float(left)) / float(length)
            if 0 <= at < 1 and abs(float(top) + TOP + 7 - float(y)) < ROW / 2:
                within = int(at * len(text))
                found += [cell[0] for cell in re.finditer(r"\S+(?: \S+)*", text) if cell.start() <= within < cell.end()]
    return found


@pytest.mark.parametrize("size", ["120x40", "200x60"])
def test_an_arrow_points_at_the_last_rows_cell_under_its_heading(size):
    taken = (SNAPSHOTS / f"test_compare[{size}].svg").read_text()
    columns = {"method": "int8-torch", "step": "2.17×", "KLD": "0.0200", "text": "differs at 31"}
    cells = pointed_at(taken, [Callout(heading, (heading,)) for heading in columns])
    assert len(cells) == len(columns)
    assert all(cell.startswith(start) for cell, start in zip(cells, columns.values(), strict=True))


def test_the_picture_of_the_readme_can_be_drawn_from_the_screenshot_that_ships():
    drawn = explained(TAKEN.read_text(), QUESTION, CALLOUTS)
    assert len(ARROW.findall(drawn)) == 1 + len(CALLOUTS)
    decode, gain, memory, kld, lamp = pointed_at(TAKEN.read_text(), CALLOUTS)
    assert "tok/s" in decode
    assert "×" in gain
    assert memory.endswith("iB")
    assert re.match(r"[0-9.]+", kld)
    assert lamp in "●▲!"


@pytest.mark.parametrize("heading", ["no such column", ""])
def test_what_is_not_in_the_table_is_not_pointed_at(heading):
    taken = (SNAPSHOTS / "test_compare[120x40].svg").read_text()  # machines that nobody watched have no lamps
    with pytest.raises(LookupError):
        explained(taken, "?", [Callout(heading, ("x",))])
