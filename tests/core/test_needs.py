"""What rows of a kind lack is declared once: who shows or asks does not know which kinds there are."""

import pytest

from tuibench.core.results.peers import is_peer
from tuibench.core.run.needs import Need, lacks
from tuibench.core.run.shape import Shape
from tuibench.core.run.spec import Method
from tuibench.measure.run.sweep_cells import why_impossible

DEEP = Shape(prompt_tokens=8, depth_tokens=16, max_new_tokens=4, n_threads=1)
SERVER = {Need.PREDICTIONS, Need.OWN_PROCESS, Need.WATCHED_MACHINE, Need.FILLED_CACHE, Need.RUNG}


def method(name):
    return Method(id=name, title=name, explanation=name, parent=None, precision="unknown")


@pytest.mark.parametrize(("name", "lacking"), [("kv-cache", set()), ("endpoint", SERVER), ("endpoint:a again", SERVER)])
def test_a_server_is_no_rung_and_has_neither_predictions_nor_a_cache_that_could_be_filled(name, lacking):
    held_here = not lacking
    assert {need for need in Need if lacks(name, need)} == lacking
    assert method(name).is_rung is held_here
    assert is_peer(name, ()) is not held_here
    assert (why_impossible(DEEP, name, None, None) is None) is held_here


def test_another_kind_of_row_is_declared_in_one_place(monkeypatch):
    lent = "lent:a"
    assert method(lent).is_rung
    kind = lambda name: name.startswith("lent:"), frozenset({Need.RUNG, Need.FILLED_CACHE})
    monkeypatch.setattr("tuibench.core.run.needs._KINDS", (kind,))
    assert not method(lent).is_rung
    assert is_peer(lent, ())
    assert why_impossible(DEEP, lent, None, None)[1].startswith(Need.FILLED_CACHE.value)
    assert not lacks(lent, Need.PREDICTIONS)
