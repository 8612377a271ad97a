"""Texts that grow over a switching length, and shrink again, give what a fresh pass over them gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuibench.engines.decoder.rereading import RereadingSteps

SWITCH, MOST = 6, 30


def fresh(text):
    """What follows a text: a function of its tokens and of the angles that its length asks for."""
    return np.array([sum(place * token for place, token in enumerate(text, 1)), len(text), len(text) > SWITCH])


class RotatesByPrompt:
    """A session whose keys keep the rotation of the text that was read at once."""

    def prefill(self, token_ids, max_length):
        assert len(token_ids) <= max_length
        self.text, self.long = list(token_ids), len(token_ids) > SWITCH
        return self._logits()

    def decode(self, token_id):
        return self.append([token_id])[0]

    def append(self, token_ids):
        rows = []
        for token_id in token_ids:
            self.text.append(token_id)
            rows.append(self._logits())
        return np.stack(rows)

    def extend(self, token_ids):
        return self.append(token_ids)[-1]

    def rollback(self, n_tokens):
        del self.text[len(self.text) - n_tokens :]

    def keep(self, n_tokens, max_length):
        assert n_tokens <= max_length
        del self.text[n_tokens:]
        return True

    def score(self, token_ids):
        for end in range(1, len(token_ids) + 1):
            self.text, self.long = token_ids[:end], len(token_ids) > SWITCH
            yield self._logits()[None]

    def _logits(self):
        return np.array([*fresh(self.text)[:2], self.long])


tokens = st.lists(st.integers(1, 9), min_size=1, max_size=10)


@given(prompt=tokens, steps=st.lists(st.tuples(tokens, st.integers(0, 9)), max_size=8))
def test_whatever_is_appended_and_forgotten(prompt, steps):
    session, text = RereadingSteps(RotatesByPrompt(), SWITCH), list(prompt)
    np.testing.assert_array_equal(session.prefill(prompt, MOST), fresh(text))
    for new, n_forgotten in steps:
        room = new[: MOST - len(text)]
        if not room:
            break
        expected = [fresh(text + room[:end]) for end in range(1, len(room) + 1)]
        found = session.append(room) if len(room) > 1 else session.decode(room[0])[None]
        np.testing.assert_array_equal(found, expected)
        text += room
        forgotten = room[1:][:n_forgotten]
        session.rollback(len(forgotten))
        del text[len(text) - len(forgotten) :]


@given(prompt=tokens, pieces=st.lists(tokens, max_size=3))
def test_a_prompt_that_comes_in_pieces(prompt, pieces):
    session, text = RereadingSteps(RotatesByPrompt(), SWITCH), list(prompt)
    session.prefill(prompt, 2 * MOST)
    for piece in pieces:
        text += piece
        np.testing.assert_array_equal(session.extend(piece), fresh(text))


@given(prompt=tokens, going_back=st.lists(st.tuples(st.integers(1, 9), tokens), max_size=4))
def test_who_goes_back_reads_no_kept_token_again_and_has_the_predictions_of_a_fresh_text(prompt, going_back):
    session, text = RereadingSteps(RotatesByPrompt(), SWITCH), list(prompt)
    session.prefill(prompt, 2 * MOST)
    for n_kept, piece in going_back:
        kept = text[:n_kept]
        same_angles = (len(text) > SWITCH) == (len(kept) > SWITCH)
        assert session.keep(len(kept), 2 * MOST) == same_angles
        if not same_angles:
            session.prefill(kept, 2 * MOST)
        text = kept + piece
        np.testing.assert_array_equal(session.extend(piece), fresh(text))


@given(text=st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_a_score_is_what_decoding_gives(text):
    scored = np.concatenate(list(RereadingSteps(RotatesByPrompt(), SWITCH).score(text)))
    np.testing.assert_array_equal(scored, [fresh(text[:end]) for end in range(1, len(text) + 1)])


def test_a_text_is_read_again_once_where_it_crosses():
    lengths = []

    class Counting(RotatesByPrompt):
        def prefill(self, token_ids, max_length):
            lengths.append(len(token_ids))
            return super().prefill(token_ids, max_length)

    session = RereadingSteps(Counting(), SWITCH)
    session.prefill([1, 2], MOST)
    for token in range(3, 20):
        session.decode(token)
    assert lengths == [2, SWITCH + 1]
