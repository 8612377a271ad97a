"""A method that hands out text and no tokens: what is known of its trials, what they are compared in, what is said."""

import re

import pytest

from tests.measured_runs import measured, quality, trials
from tests.scripted import FINISHED, record
from tuibench.core.present.columns import LADDER, cells
from tuibench.core.present.method_sentence import method_sentence
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.metrics import decode_tps, first_divergence, output_tps, prefill_tps
from tuibench.core.results.verdict import recommend
from tuibench.core.run.events import (
    EngineReady,
    FinishReason,
    Heartbeat,
    Memory,
    PieceEmitted,
    PromptTokenised,
    TrialAccepted,
    TrialFinished,
)
from tuibench.core.run.trial_state import TrialState, fold_trial, trial_record
from tuibench.store.plausible import check_record
from tuibench.store.replay import trial_events

TEXT_ONLY = {
    "token_ids": (), "load_ns": None, "prefill_ns": None, "tokenise_ns": None, "peak_rss_bytes": None,
    "artifact_bytes": None, "parameters": None, "lamp": None,
}  # fmt: skip


def folded(events, method="endpoint"):
    state = TrialState(method, 0, warmup=False, n_expected=4)
    for event in events:
        state = fold_trial(state, event)
    return state


def kept(state):
    return trial_record(state, fresh=True, observer_cpu_ns=1, validity=(), failure=None, finished=FINISHED)


def events(n_gen=4, n_cached=0):
    yield EngineReady(at_ns=0, facts={"server": "x"})
    yield TrialAccepted(at_ns=100)
    yield PromptTokenised(at_ns=100, n_prompt=None)
    yield Heartbeat(at_ns=150, rss_bytes=1 << 20)
    yield PieceEmitted(at_ns=200, index=0, text=" a", n_tokens=None)
    yield PieceEmitted(at_ns=500, index=1, text=" b c", n_tokens=None)
    yield TrialFinished(
        at_ns=510,
        finish_reason=FinishReason.LENGTH,
        n_prompt=9,
        n_gen=n_gen,
        n_cached=n_cached,
        memory=Memory(peak_rss_bytes=1 << 20),
    )


def test_speed_is_of_the_tokens_that_were_told_and_not_of_the_pieces():
    state = folded(events())
    assert (state.n_gen, state.n_pieces, state.n_prompt, state.ttft_ns) == (4, 2, 9, 100)
    assert state.decode_tps == pytest.approx(3e9 / 300)
    found = kept(state)
    assert (found.n_gen, found.step_ns, found.piece_chars, found.text) == (4, (300,), (2, 4), " a b c")
    assert decode_tps(found) == pytest.approx(3e9 / 300)
    assert output_tps(found) == pytest.approx(4e9 / 400)
    assert prefill_tps(found) is None


def test_while_pieces_come_no_speed_is_made_up():
    *before, _ = events()
    state = folded(before)
    assert (state.decode_tps, state.n_pieces) == (None, 2)


def test_all_tokens_in_one_piece_have_no_speed():
    assert decode_tps(record("endpoint", **TEXT_ONLY, step_ns=(), piece_chars=(3,), text="abc", n_told=9)) is None


def test_the_clients_memory_is_nobodys():
    state = folded(events())
    assert state.rss_bytes is None
    assert kept(state).peak_rss_bytes is None
    assert kept(folded(events(), "kv-cache")).peak_rss_bytes == 1 << 20


def test_a_cached_prompt_is_a_red_lamp():
    assert kept(folded(events(n_cached=3))).lamp == "red"
    assert kept(folded(events())).lamp is None


def test_a_record_is_plausible_and_replays_as_it_was():
    found = kept(folded(events()))
    check_record(found)
    again = folded(trial_events(found))
    assert (again.text, again.n_gen, again.n_prompt, again.ttft_ns) == (" a b c", 4, 9, 100)
    assert again.log.at_ns == [100, 400]


def test_texts_are_compared_by_character_where_one_has_no_tokens():
    ours = record("endpoint", **TEXT_ONLY, text="Hello, World", piece_chars=(5, 7), step_ns=(1,), n_told=4)
    assert first_divergence(ours, record(text="Hello, world !")) == 7
    run = MeasuredRun("a", ("kv-cache", "endpoint"), (record(), ours))
    agreement = compare([run], parents={}).row(0, "endpoint").agreement
    assert (agreement.first_divergence, agreement.n_compared, agreement.unit) == (7, 12, "character")


def run_with(endpoint_tps=100, scored=True, **changes):
    ours = trials("endpoint", endpoint_tps, **(TEXT_ONLY | {"n_told": 4} | changes))
    theirs = measured(kv_cache=10, int8=20)
    scores = (quality("int8", 0.004),) if scored else ()
    return MeasuredRun("a", ("kv-cache", "int8", "endpoint"), (*theirs.trials, *ours), scores)


@pytest.mark.parametrize("scored", [True, False])
def test_the_fastest_is_not_recommended_where_nobody_can_judge_it_and_not_dropped_silently(scored):
    found = recommend(compare([run_with(scored=scored)], parents={}))
    assert "endpoint" not in {found.fastest, found.identical, found.smallest, *found.pareto}
    assert "endpoint" not in found.headline
    assert "endpoint (not judged: quality cannot be measured through an endpoint)" in found.sentence


def test_its_sentence_has_the_gain_and_no_memory():
    comparison = compare([run_with()], parents={})
    sentence = method_sentence(comparison, comparison.row(0, "endpoint"))
    assert re.match(r"endpoint: [\d.]+× kv-cache \[", sentence)
    assert "RSS" not in sentence
    assert sentence.endswith("· its machine was not watched")


def test_alone_it_is_nothing_to_recommend_and_is_not_said_to_be_missing():
    run = MeasuredRun("a", ("endpoint",), tuple(trials("endpoint", 10, **TEXT_ONLY, n_told=4)))
    headline = recommend(compare([run], parents={})).headline
    assert headline == "nothing to recommend: quality cannot be measured through an endpoint"


def test_gains_are_taken_over_a_method_of_ours_where_there_is_one():
    run = MeasuredRun("a", ("endpoint", "onnx"), (*trials("endpoint", 10, **TEXT_ONLY, n_told=4), *trials("onnx", 5)))
    assert compare([run], parents={}).yardstick == "onnx"


def test_what_nobody_knows_is_a_dash():
    comparison = compare([run_with()], parents={})
    heading, row = cells(LADDER, comparison, [comparison.row(0, "endpoint")], short=frozenset())
    shown = dict(zip(heading, row, strict=True))
    assert {shown[name] for name in ("peak RSS", "size", "KLD", "top-1", "step", "total")} == {"–"}
    assert shown["decode"] != "–"


def test_gaps_between_pieces_are_no_gaps_between_tokens():
    one_by_one = run_with(n=400, sigma=0)
    together = run_with(n=400, sigma=0, n_told=8)
    itl = [compare([run], parents={}).row(0, "endpoint").itl_ns for run in (one_by_one, together)]
    assert itl[0][0.5] is not None
    assert set(itl[1].values()) == {None}
