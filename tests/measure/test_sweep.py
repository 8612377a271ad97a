"""A run of several shapes, with scripted workers: who serves what, what is kept, and where it goes on."""

import pytest

from tests.measure.test_measurement import collect, measurement
from tests.measure.test_resume import resumed, table_ends
from tuibench.core.run.events import EngineReady, FailureKind, PromptTokenised
from tuibench.core.run.kv_cache import KvCacheSize
from tuibench.core.run.run_events import TrialObserved, TrialStarted, TurnsAdded
from tuibench.core.run.shape import Shape, Sweep
from tuibench.core.run.spec import EvalText
from tuibench.core.run.state import MethodStatus
from tuibench.measure.run.sweep_cells import spare_tokens, why_impossible
from tuibench.measure.run.trial_under_way import TrialUnderWay
from tuibench.store.export.facts import measured_runs
from tuibench.store.replay import stored_state
from tuibench.store.session import load

TEXT = EvalText(name="text", text="words")
SWEEP = Sweep(prompt_tokens=(3, 5), max_new_tokens=(4,), n_threads=(1, 2))


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


def swept(tmp_path, sweep=SWEEP, behaviour="good", **changes):
    return measurement(tmp_path, behaviour, sweep=sweep, running_text=TEXT, **{"max_new_tokens": 4, **changes})


def cells(events):
    return [
        (event.method, event.index, event.shape.prompt_tokens, event.shape.n_threads)
        for event in events
        if isinstance(event, TrialStarted) and not event.warmup
    ]


async def test_a_worker_serves_all_shapes_of_a_round_that_share_its_threads(tmp_path):
    events, state = await collect(run := swept(tmp_path))
    loads = [event for event in events if isinstance(event, TrialObserved) and isinstance(event.event, EngineReady)]
    assert len(loads) == 2 * 2 * 2  # methods, rounds, thread counts; two prompt lengths each
    assert cells(events)[:8] == [
        ("a", 0, 3, 1), ("b", 0, 3, 1), ("a", 0, 5, 1), ("b", 0, 5, 1),
        ("a", 0, 3, 2), ("b", 0, 3, 2), ("a", 0, 5, 2), ("b", 0, 5, 2),
    ]  # fmt: skip
    assert len(cells(events)) == len(set(cells(events))) == 16
    assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}
    assert stored_state(load(run.session_path)).methods.keys() == state.methods.keys()


async def test_each_shape_is_a_run_of_its_own_with_what_it_asked_for(tmp_path):
    await collect(run := swept(tmp_path, n_trials=1))
    runs = measured_runs(load(run.session_path), "s")
    assert [each.label for each in runs] == [
        "s · prompt 3, 1 thread", "s · prompt 5, 1 thread", "s · prompt 3, 2 threads", "s · prompt 5, 2 threads",
    ]  # fmt: skip
    for each, shape in zip(runs, SWEEP.shapes(), strict=True):
        measured = [trial for trial in each.trials if not trial.warmup]
        assert [trial.shape for trial in measured] == [shape] * 2
        assert (each.n_threads, each.n_asked) == (shape.n_threads, 4)
        assert {trial.n_threads for trial in each.trials if trial.warmup} == {shape.n_threads}


async def test_a_load_is_told_once_and_a_peak_only_where_no_longer_text_was_read_before(tmp_path):
    sweep = Sweep(prompt_tokens=(3,), max_new_tokens=(9, 4), n_threads=(1,))
    await collect(run := swept(tmp_path, sweep, methods=("a",), n_trials=1, behaviour="peaks"))
    warmup, long, short = load(run.session_path).trials
    assert (warmup.load_ns, long.load_ns, short.load_ns) == (1_000_000, None, None)
    assert long.peak_rss_bytes is not None
    assert short.peak_rss_bytes is None


async def test_a_shape_beyond_the_window_is_a_cell_with_its_reason_and_the_others_go_on(tmp_path):
    sweep = Sweep(prompt_tokens=(3, 60_000), max_new_tokens=(4,), n_threads=(1,))
    events, state = await collect(run := swept(tmp_path, sweep))
    session = load(run.session_path)
    failed = [trial for trial in session.trials if trial.failed]
    assert [(trial.method, trial.prompt_tokens, trial.failure_kind) for trial in failed] == [
        ("a", 60_000, FailureKind.BAD_INPUT), ("b", 60_000, FailureKind.BAD_INPUT),
    ]  # fmt: skip
    why = "depth 0 + prompt 60000 + 4 new = 60004 tokens, and the model's window holds 50000"
    assert {trial.failure_message for trial in failed} == {why}
    asked = [event for event in events if isinstance(event, TrialObserved) and isinstance(event.event, PromptTokenised)]
    assert len(asked) == 2 * (2 + 2)  # two rounds of two warm-ups and two trials of the shape that can be
    assert (state.n_done, state.n_turns) == (6, 6)
    assert [trial for trial in measured_runs(session)[1].trials if not trial.warmup] == failed


async def test_precision_adds_rounds_to_the_cells_that_need_them(tmp_path):
    events, _ = await collect(swept(tmp_path, n_trials=1, max_trials=2, precision=0.0001, methods=("a",)))
    added = [turn for event in events if isinstance(event, TurnsAdded) for turn in event.turns]
    assert {turn.shape for turn in added} == set(SWEEP.shapes())
    assert {turn.index for turn in added} == {1}


async def test_a_session_goes_on_at_the_cell_where_it_was_cut(tmp_path):
    await collect(whole := swept(tmp_path, n_warmup=0))
    path, content = whole.session_path, whole.session_path.read_bytes()
    ends = table_ends(content)
    turns = load(path).header.settings.turns()
    for n_left in (1, 5, 11):
        path.write_bytes(content[: ends[n_left - 1]])
        events, state = await collect(resumed(tmp_path, path, running_text=TEXT))
        assert cells(events) == [
            (turn.method, turn.index, turn.shape.prompt_tokens, turn.shape.n_threads) for turn in turns[n_left:]
        ]
        assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}


CACHE = KvCacheSize(bytes_per_token=100)


@pytest.mark.parametrize(
    ("shares", "free_bytes", "why"),
    [
        (True, 7_999, "8 users' KV-caches of 10 tokens take"),
        (True, 8_000, None),
        (False, 1_000, None),  # one after the other has one cache
        (False, 999, "the KV-cache of 10 tokens takes"),
    ],
)
def test_users_that_do_not_fit_into_memory_are_a_cell_with_its_reason(shares, free_bytes, why):
    shape = Shape(prompt_tokens=6, max_new_tokens=4, n_threads=1, n_users=8)
    found = why_impossible(shape, "m", EngineReady(at_ns=0, kv_cache=CACHE, shares_steps=shares), free_bytes)
    assert (found and found[1].startswith(why)) if why else found is None
    assert found is None or found[0] is FailureKind.OUT_OF_MEMORY


def test_one_cache_cannot_be_filled_for_several_users_beforehand():
    shape = Shape(prompt_tokens=6, depth_tokens=4, max_new_tokens=4, n_threads=1, n_users=2)
    alone, shared = (
        why_impossible(shape, "m", EngineReady(at_ns=0, shares_steps=each), None) for each in (False, True)
    )
    assert (alone[0], shared) == (FailureKind.UNSUPPORTED, None)


@pytest.mark.parametrize(
    ("depth", "window", "free_bytes", "spare"),
    [
        (20, None, None, 50),
        (20, 60, None, 6),  # 20 + 56 + 4 are beyond it
        (20, None, 3_600, 6),  # as they are beyond memory
        (0, None, None, 0),  # nothing is kept from one prompt to the next
    ],
)
def test_room_is_made_for_the_longest_prompt_that_can_be_read_behind_the_same_depth(depth, window, free_bytes, spare):
    sweep = Sweep(prompt_tokens=(6, 12, 56), depth_tokens=(0, 20, 900), max_new_tokens=(4,), n_threads=(1, 2))
    shape = Shape(prompt_tokens=6, depth_tokens=depth, max_new_tokens=4, n_threads=1)
    ready = EngineReady(at_ns=0, kv_cache=CACHE, context_window=window)
    assert spare_tokens(shape, sweep, "m", ready, free_bytes) == spare


async def test_a_worker_is_told_how_much_room_the_prompts_behind_a_depth_need(tmp_path, monkeypatch):
    asked = []
    begin = TrialUnderWay.begin

    async def noting(trial, request, **options):
        asked.append((request.prompt_tokens, request.depth_tokens, request.spare_tokens))
        await begin(trial, request, **options)

    monkeypatch.setattr(TrialUnderWay, "begin", noting)
    sweep = Sweep(prompt_tokens=(3, 8), depth_tokens=(0, 5), max_new_tokens=(4,), n_threads=(1,))
    await collect(swept(tmp_path, sweep, methods=("a",), n_trials=1))
    assert asked == [(3, 0, 0), (3, 0, 0), (8, 0, 0), (3, 5, 5), (8, 5, 0)]  # the first is the warm-up
