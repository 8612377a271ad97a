from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tuibench.ui.text.wrap import StreamWrap

TEXT = st.text(st.sampled_from("ab cdé漢\n\t.e\u0301"), max_size=120)


def lines_of(pieces, width):
    wrap = StreamWrap(width)
    for piece in pieces:
        wrap.feed(piece)
    return [*wrap.lines, wrap.open_line]


def test_words_stay_whole():
    assert lines_of(["the quick ", "brown fox"], 10) == ["the quick", "brown fox"]


def test_a_space_that_does_not_fit_ends_the_line():
    assert lines_of(["1234567890 abc"], 10) == ["1234567890", "abc"]


def test_a_word_longer_than_a_line_is_cut():
    assert lines_of(["abcdefgh"], 3) == ["abc", "def", "gh"]


def test_a_wide_character_never_hangs_over_the_edge():
    assert lines_of(["漢漢漢"], 5) == ["漢漢", "漢"]


def test_line_ends_are_kept():
    assert lines_of(["a\n\nb"], 5) == ["a", "", "b"]


@given(TEXT, st.integers(2, 12), st.integers(1, 7))
def test_lines_do_not_depend_on_the_pieces(text, width, n):
    pieces = [text[i : i + n] for i in range(0, len(text), n)]
    assert lines_of(pieces, width) == lines_of([text], width)


@given(TEXT, st.integers(2, 12))
def test_no_line_is_wider_than_asked_and_no_character_is_lost(text, width):
    lines = lines_of([text], width)
    # A space at the edge of the open line hangs there until the next word.
    assert all(cell_len(line.rstrip(" ")) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_ten_thousand_tokens_cost_what_they_are_long():
    wrap = StreamWrap(60)
    piece = " word"
    costs = []
    for _ in range(10_000):
        before = wrap.n_examined
        wrap.feed(piece)
        costs.append(wrap.n_examined - before)
    assert set(costs) == {len(piece)}
