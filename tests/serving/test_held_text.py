"""What is read again and what is kept, seen by an engine that notes its calls."""

import pytest

from tuibench.serving.held_text import HeldText


class Noting:
    def __init__(self):
        self.calls = []

    def prefill(self, token_ids, max_length):
        self.calls.append(("prefill", len(token_ids), max_length))
        return "logits"

    def decode(self, token_id):
        self.calls.append(("decode", token_id))
        return "logits"


class Continuing(Noting):
    can, spare_room = True, True

    def keep(self, n_kept, max_length):
        self.calls.append(("keep", n_kept, max_length))
        return self.can

    def extend(self, token_ids):
        self.calls.append(("extend", list(token_ids)))
        return "logits"


def held(engine, window=None, text=range(10), decoded=(77, 78)):
    found = HeldText(engine, window)
    found.read(list(text), 5, reuse=True)
    for token_id in decoded:
        found.decode(token_id)
    engine.calls.clear()
    return found


def test_what_was_read_and_written_is_kept_and_only_the_rest_is_read():
    engine = Continuing()
    text = held(engine)
    text.read([*range(10), 77, 78, 5, 6], 5, reuse=True)
    assert engine.calls == [("keep", 12, 1034), ("extend", [5, 6])]
    assert text.n_reused == 12


def test_a_text_that_was_read_already_has_its_last_token_read_again():
    engine = Continuing()
    held(engine).read(list(range(10)), 5, reuse=True)
    assert engine.calls == [("keep", 9, 1034), ("extend", [9])]


@pytest.mark.parametrize(
    ("engine", "prompt", "reuse"),
    [
        (Noting(), [*range(10), 1], True),
        (Continuing(), [*range(10), 1], False),
        (Continuing(), [*range(4), *range(20, 25)], True),
    ],
)
def test_all_is_read_where_nothing_can_be_kept_or_less_than_half_would_be(engine, prompt, reuse):
    text = held(engine)
    text.read(prompt, 5, reuse=reuse)
    assert [call[:2] for call in engine.calls] == [("prefill", len(prompt))]
    assert text.n_reused == 0


def test_a_cache_that_cannot_forget_is_read_anew():
    engine = Continuing()
    engine.can = False
    text = held(engine)
    text.read([*range(10), 1], 5, reuse=True)
    assert [call[0] for call in engine.calls] == ["keep", "prefill"]
    assert text.n_reused == 0


def test_without_reuse_a_cache_has_the_room_that_is_measured():
    engine = Noting()
    HeldText(engine, 4096).read(list(range(10)), 5, reuse=False)
    assert engine.calls == [("prefill", 10, 15)]


def test_a_full_cache_is_made_anew_and_never_larger_than_the_window():
    engine = Noting()
    text = HeldText(engine, 3000)
    text.read(list(range(10)), 2990, reuse=True)
    (_, _, room), n_tokens = engine.calls[0], 10
    while n_tokens < 3000:
        text.decode(1)
        n_tokens += 1
        if engine.calls[-1][0] == "prefill":
            assert engine.calls[-1][1] == n_tokens == room + 1
            room = engine.calls[-1][2]
        assert n_tokens <= room <= 3000
    assert len([call for call in engine.calls if call[0] == "prefill"]) < 5


def test_after_an_error_nothing_is_taken_for_held():
    engine = Continuing()
    text = held(engine)
    text.forget()
    text.read([*range(10), 1], 5, reuse=True)
    assert [call[0] for call in engine.calls] == ["prefill"]
