from datetime import timedelta
from pathlib import Path

from tests.ui.scripted import FINISHED
from tuibench.store.catalogue import SessionSummary
from tuibench.ui.text.session_list import SORTED_BY, Order, search


def summary(name, *, age=0, **fields):
    created = FINISHED - timedelta(days=age)
    return SessionSummary(Path(f"{name}.toml"), name, created, "SmolLM2", ("kv-cache",), 6, **fields)


FAST = summary("alpha", age=2, decode_tps={"onnx": 40.0, "kv-cache": 20.0}, tags=("laptop",))
SLOW = summary(
    "Beta", age=1, decode_tps={"kv-cache": 10.0}, note="on battery", cpu="AMD EPYC", prompt="Why is the sky blue?"
)
BAD = SessionSummary(Path("bad.toml"), "bad", None, "", (), 0, "no TOML")
ALL = [SLOW, BAD, FAST]


def names(sessions):
    return [session.name for session in sessions]


def test_the_newest_comes_first_and_what_has_no_date_last():
    assert names(Order().sort(ALL)) == ["Beta", "alpha", "bad"]
    assert names(Order().turn().sort(ALL)) == ["bad", "alpha", "Beta"]


def test_each_column_starts_with_what_is_looked_for():
    order, seen = Order(), {}
    for column in SORTED_BY:
        seen[column.id] = (order.label, names(order.sort(ALL)))
        order = order.next()
    assert order == Order()
    assert seen["name"] == ("name ▲", ["alpha", "bad", "Beta"])  # Beta is known by its prompt
    assert seen["fastest"] == ("fastest ▼", ["alpha", "Beta", "bad"])
    assert seen["trials"] == ("trials ▼", ["Beta", "alpha", "bad"])


def test_every_word_must_be_found_somewhere():
    assert names(search(ALL, "")) == ["Beta", "bad", "alpha"]
    assert names(search(ALL, "EPYC battery")) == ["Beta"]
    assert names(search(ALL, "smollm2 kv")) == ["Beta", "alpha"]
    assert names(search(ALL, "blue")) == ["Beta"]
    assert names(search(ALL, "damaged")) == ["bad"]
    assert names(search(ALL, "2026-02")) == ["Beta", "alpha"]
    assert names(search(ALL, "epyc laptop")) == []


def test_a_word_with_a_hash_is_a_tag():
    assert names(search(ALL, "#lap")) == ["alpha"]
    assert names(search(ALL, "#battery")) == []
