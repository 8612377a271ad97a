from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ui.scripted import session
from tuibench.core.run.state import RunState, fold
from tuibench.store import timeline as timeline_module
from tuibench.store.replay import Replay
from tuibench.store.timeline import Timeline, divergences_ns

STORED = session(("baseline", "kv-cache", "onnx"), n_trials=1)


def folded_until(position_ns):
    state = RunState()
    for at_ns, event in Replay(STORED).timed_events():
        if at_ns <= position_ns:
            state = fold(state, event)
    return state


def seen(state):
    return {
        name: (method.status, len(method.records), method.trial and (method.trial.n_gen, method.trial.text))
        for name, method in state.methods.items()
    }


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_state_is_the_same_however_one_came_there(shares):
    line = Timeline(STORED)
    for share in shares:
        position_ns = round(share * line.duration_ns)
        assert seen(line.at(position_ns)) == seen(folded_until(position_ns))


def test_going_back_folds_only_from_the_checkpoint_before(monkeypatch):
    line = Timeline(STORED)
    monkeypatch.setattr(timeline_module, "_CHECKPOINT", 16)
    line.at(line.duration_ns)
    folds = []
    monkeypatch.setattr(timeline_module, "fold", lambda state, event: folds.append(event) or fold(state, event))
    line.at(line.token_before_ns(line.duration_ns))
    assert 0 < len(folds) <= 16


def test_at_the_end_the_run_has_ended():
    line = Timeline(STORED)
    state = line.at(line.duration_ns)
    assert not state.running
    assert len(list(state.records)) == 3


def test_steps_go_from_token_to_token():
    line = Timeline(STORED)
    first = line.next_token_ns(0)
    second = line.next_token_ns(first)
    assert 0 < first < second
    assert line.token_before_ns(second) == first
    assert line.token_before_ns(first) == 0
    assert line.next_token_ns(line.duration_ns) == line.duration_ns
    assert sum(method.trial.n_gen for method in line.at(first).methods.values()) == 1


def test_a_difference_counts_from_when_both_came_to_it():
    trials = list(STORED.trials)
    ids = list(trials[2].token_ids)
    ids[5] = 999
    import msgspec

    trials[2] = msgspec.structs.replace(trials[2], token_ids=tuple(ids))
    changed = msgspec.structs.replace(STORED, trials=tuple(trials))
    slow, fast = trials[1], trials[2]
    at_ns = max(record.ttft_ns + sum(record.step_ns[:5]) for record in (slow, fast))
    assert divergences_ns(changed, "kv-cache") == {"onnx": at_ns}
    assert divergences_ns(changed, "not measured") == {}
