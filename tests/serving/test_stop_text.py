"""Texts that end an answer, against a search in the whole text."""

from hypothesis import given
from hypothesis import strategies as st

from tuibench.serving.stop_text import StopText

TEXT = st.text("ab", max_size=12)


@given(pieces=st.lists(TEXT, max_size=8), stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_an_answer_ends_where_the_whole_text_has_the_first_stop(pieces, stops):
    answer, out = StopText(stops), ""
    for piece in pieces:
        out += answer.push(piece)
        if answer.found:
            break
    out += answer.finish()
    whole = "".join(pieces)
    places = [whole.find(stop) for stop in stops if stop in whole]
    assert answer.found == bool(places)
    assert out == (whole[: min(places)] if places else whole)


def test_what_cannot_begin_a_stop_is_handed_on_at_once():
    answer = StopText(["END"])
    assert [answer.push(text) for text in ("one E", "N", "X ", "EN", "D more")] == ["one ", "", "ENX ", "", ""]
    assert answer.found
