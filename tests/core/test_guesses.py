"""Counts of guessing ahead: from the worker's event into the record, and what is computed from them."""

from contextlib import aclosing

from tests.scripted import header, record
from tuibench.core.present.columns import GUESSES, filled, tellable
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.metrics import acceptance_rate, tokens_per_step
from tuibench.core.run.state import RunState, fold
from tuibench.store.replay import Replay
from tuibench.store.schema import Session

GUESSED = record("fused-int8-lookup", n_model_steps=20, n_guessed=50, n_guessed_right=30)


def test_rates_of_a_method_that_guesses():
    assert acceptance_rate(GUESSED) == 0.6
    assert tokens_per_step(GUESSED) == 2.5


def test_a_method_that_does_not_guess_has_no_rates():
    assert acceptance_rate(record("kv-cache")) is None
    assert tokens_per_step(record("kv-cache")) is None


def test_nothing_guessed_is_no_rate_of_zero():
    quiet = record("fused-int8-lookup", n_model_steps=20, n_guessed=0, n_guessed_right=0)
    assert acceptance_rate(quiet) is None
    assert tokens_per_step(quiet) == 1


def test_columns_of_guesses_are_those_of_runs_in_which_a_method_guessed():
    plain = MeasuredRun("plain", ("kv-cache",), (record("kv-cache"),))
    guessing = MeasuredRun("guessing", ("kv-cache", GUESSED.method), (record("kv-cache"), GUESSED))
    for runs, columns in (((plain,), ()), ((guessing,), GUESSES), ((plain, guessing), GUESSES)):
        found = compare(runs, parents={})
        assert tellable(GUESSES, found, ("kv-cache",)) == columns
        assert filled(GUESSES, found, found.rows) == columns


async def test_counts_survive_event_and_record():
    state = RunState()
    async with aclosing(Replay(Session(header=header(), trials=(GUESSED,)), speed=1e6).events()) as events:
        async for event in events:
            state = fold(state, event)
    (measured,) = state.methods["fused-int8-lookup"].measured
    assert (measured.n_model_steps, measured.n_guessed, measured.n_guessed_right) == (20, 50, 30)
