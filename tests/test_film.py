import re
from xml.etree import ElementTree

import pytest

from tests.demonstration import Recorder
from tests.film import CELL, LINE, Frame, animated_svg
from tests.tmux import Tmux

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def tmux(tmp_path):
    terminal = Tmux(tmp_path / "tmux", 40, 6)
    yield terminal
    terminal.close()


def drawn(*frames, columns=40, lines=6):
    return animated_svg(frames, columns, lines)


def texts(svg):
    """Return the words and the rules of their style."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own text
    rules = dict(re.findall(r"\.(s\d+)\{([^}]*)\}", svg))
    return {text.text: rules[text.get("class")] for text in root.find(f"{SVG}defs").iter(f"{SVG}text")}


def test_a_program_in_a_terminal_becomes_a_film(tmux):
    recorder = Recorder(tmux)
    recorder.caption("before")
    tmux.wait_for("ready>")
    recorder.settle()
    recorder.look(1.0)
    tmux.type(r"clear; printf '\033[1;38;2;255;0;1mred <&> hot\033[0m plain\n'")
    tmux.press("Enter")
    tmux.wait_for("hot plain\n")
    recorder.caption("after")
    recorder.settle()
    recorder.look(0.5)
    recorder.look(0.5)
    svg = animated_svg(recorder.frames, 40, 6)
    assert [frame.shown_s for frame in recorder.frames] == [1.0, 1.0]
    assert texts(svg)["red <&> hot"] == "fill:#ff0001;font-weight:bold"
    assert "plain" in texts(svg)
    assert "animation:film 2.00s" in svg
    assert f"50.00%{{transform:translateX(-{40 * CELL:g}px)}}" in svg


def test_a_film_needs_nothing_else_and_runs_no_script():
    svg = drawn(Frame(("\x1b[31m<script>", ""), "a & b", 1.0))
    assert "<script" not in svg
    assert set(re.findall(r'href="(.)', svg)) == {"#"}
    assert not re.search(r"url\(|@import|\bsrc=", svg)


def test_what_frames_share_is_stored_once():
    frames = [Frame(("same", f"{number}", *("same too",) * 10), "", 0.5) for number in range(20)]
    svg = drawn(*frames, lines=12)
    assert svg.count(">same<") == 1
    assert svg.count(">same too<") == 1


@pytest.mark.parametrize(
    ("codes", "rules"),
    [
        ("38;5;196", "fill:#ff0000"),
        ("38;5;244", "fill:#808080"),
        ("38;2;1;2;3;3", "fill:#010203;font-style:italic"),
        ("92", "fill:#8ddb8c"),
        ("38;2;255;255;255;48;2;0;0;0;2", "fill:#999999"),
        ("4;1;22", "fill:#d8d9da;text-decoration:underline"),
    ],
)
def test_styles_are_those_of_the_terminal(codes, rules):
    assert texts(drawn(Frame((f"\x1b[{codes}mword",), "", 1.0)))["word"] == rules


def test_reversed_text_has_its_ink_for_paper_and_styles_last_from_line_to_line():
    svg = drawn(Frame(("\x1b[38;2;1;2;3;7mword", "next\x1b[0m, plain words on plain paper"), "", 1.0))
    assert svg.count('fill="#010203"') == 2
    assert f'width="{4 * CELL}" height="{LINE}" fill="#010203"' in svg
