"""Going on with a session: only what is missing is measured, and never where it would not be comparable."""

import fcntl
import threading
from datetime import UTC, date, datetime

import msgspec
import pytest

from tests.measure.test_measurement import LIMITS, MODEL, collect, command, drive, first_token, measurement
from tests.scripted import header as scripted_header
from tuibench.core.run.events import EngineReady, FailureKind
from tuibench.core.run.host import Host
from tuibench.core.run.kv_cache import KvCacheSize
from tuibench.core.run.run_events import Noticed, RecordsRestored, TrialStarted
from tuibench.core.run.shape import Shape
from tuibench.core.run.spec import Calibration, EvalText, RunSpec
from tuibench.core.run.state import MethodStatus
from tuibench.measure.run.measurement import Measurement
from tuibench.measure.run.resume import Continuation, obstacles, other_texts, resumed_spec, threads_of_hosts
from tuibench.measure.run.session_start import start_header
from tuibench.measure.run.sweep_cells import why_impossible
from tuibench.store.annotations import annotate
from tuibench.store.replay import stored_state
from tuibench.store.schema import Annotation, HostRecord, Session, SessionError
from tuibench.store.session import load, whole_bytes
from tuibench.store.under_way import Claim


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


def resumed(tmp_path, path, behaviour="good", *, retry_failed=False, **changes):
    continuation = Continuation.read(path, retry_failed=retry_failed)
    spec = resumed_spec(continuation.session.header, model="toy", eval_text=None, timeout_s=None)
    spec = msgspec.structs.replace(spec, **changes)
    script = command(tmp_path, behaviour)
    return Measurement(spec, MODEL, path.parent, limits=LIMITS, worker_command=script, resume=continuation)


def measured_turns(events):
    return [(event.method, event.index) for event in events if isinstance(event, TrialStarted) and not event.warmup]


def table_ends(content):
    starts = [at for at in range(len(content)) if content.startswith(b"[[", at) and content[at - 1 : at] == b"\n"]
    return [*starts[1:], len(content)]


async def test_only_missing_trials_run_in_their_order(tmp_path):
    whole = measurement(tmp_path, n_warmup=0)
    await collect(whole)
    path = whole.session_path
    content = path.read_bytes()
    before = load(path).trials
    for n_left, end in enumerate(table_ends(content)[:-1], start=1):
        path.write_bytes(content[:end])
        events, state = await collect(resumed(tmp_path, path))
        assert measured_turns(events) == [("a", 0), ("b", 0), ("b", 1), ("a", 1)][n_left:]
        assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}
        session = load(path)
        assert session.trials[:n_left] == before[:n_left]
        assert [(trial.method, trial.index) for trial in session.trials] == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
        assert [resumption.n_trials for resumption in session.resumed] == [n_left]


async def test_a_session_goes_on_in_the_order_it_was_begun_in(tmp_path):
    whole = measurement(tmp_path, n_warmup=0, n_trials=3)
    await collect(whole)
    path = whole.session_path
    content = path.read_bytes()[: table_ends(path.read_bytes())[0]]
    # As versions before planned it: forward, backward, forward.
    older = content.replace(b'["a", "b", "a", "b", "b", "a"]', b'["a", "b", "b", "a", "a", "b"]')
    assert older != content
    path.write_bytes(older)
    events, _ = await collect(resumed(tmp_path, path))
    assert measured_turns(events) == [("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]


async def test_the_resumed_state_is_the_stored_one(tmp_path):
    run = measurement(tmp_path)
    await drive(run, first_token, run.stop)
    _, live = await collect(again := resumed(tmp_path, run.session_path))
    stored = stored_state(load(again.session_path))
    for method, state in stored.methods.items():
        assert state.records == live.methods[method].records
        assert state.status is live.methods[method].status is MethodStatus.DONE


async def test_half_a_table_is_cut_off_and_told(tmp_path):
    run = measurement(tmp_path, n_warmup=0)
    await collect(run)
    path, content = run.session_path, run.session_path.read_bytes()
    starts = [0, *table_ends(content)]
    for cut in (starts[-2] + 1, starts[-2] + 2, starts[-2] + 40, len(content) - 30, len(content) - 5):
        path.write_bytes(content[:cut])
        events, _ = await collect(resumed(tmp_path, path))
        assert any("half a table" in event.text for event in events if isinstance(event, Noticed))
        assert measured_turns(events) == [("a", 1)]
        assert load(path).dropped == ()
        assert path.read_bytes().startswith(content[: starts[-2]])


async def test_a_cancelled_trial_is_taken_again_and_counts_no_more(tmp_path):
    run = measurement(tmp_path, "hang", n_warmup=0)
    await drive(run, first_token, run.stop)
    _, state = await collect(resumed(tmp_path, run.session_path))
    assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}
    session = load(run.session_path)
    assert [trial.failure_kind for trial in session.superseded] == [FailureKind.CANCELLED]
    assert not any(trial.failed for trial in session.trials)


@pytest.mark.parametrize("retry_failed", [False, True])
async def test_failed_trials_are_taken_again_only_if_asked_for(tmp_path, retry_failed):
    run = measurement(tmp_path, "first-only", n_warmup=0)
    await collect(run)
    events, state = await collect(resumed(tmp_path, run.session_path, retry_failed=retry_failed))
    assert measured_turns(events) == ([("a", 0)] if retry_failed else [])
    assert state.methods["a"].status is (MethodStatus.DONE if retry_failed else MethodStatus.FAILED)
    assert len(load(run.session_path).resumed) == int(retry_failed)  # nothing measured, nothing written


async def test_a_method_that_was_given_up_stays_so_unless_it_is_retried(tmp_path):
    run = measurement(tmp_path, "unsupported")
    await collect(run)
    assert measured_turns((await collect(resumed(tmp_path, run.session_path)))[0]) == []
    events, state = await collect(resumed(tmp_path, run.session_path, retry_failed=True))
    assert measured_turns(events) == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}


async def test_a_session_that_changed_meanwhile_is_refused(tmp_path):
    run = measurement(tmp_path, n_warmup=0)
    await drive(run, first_token, run.stop)
    again = resumed(tmp_path, run.session_path)
    annotate(run.session_path, Annotation(note="x", written=datetime.now(UTC)))
    with pytest.raises(SessionError, match="has changed"):
        await collect(again)


async def test_what_is_added_while_half_a_table_is_cut_off_is_not_cut_off_with_it(tmp_path, monkeypatch):
    run = measurement(tmp_path, n_warmup=0)
    await collect(run)
    path = run.session_path
    path.write_bytes(path.read_bytes()[:-40])
    adding = threading.Thread(target=annotate, args=(path, Annotation(note="x", written=datetime.now(UTC))))

    def whole_bytes_while_somebody_adds(path):
        found = whole_bytes(path)
        adding.start()
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return found  # the other one waits, as it should
        adding.join()
        return found

    monkeypatch.setattr("tuibench.measure.run.resume.whole_bytes", whole_bytes_while_somebody_adds)
    await collect(resumed(tmp_path, path))
    adding.join()
    session = load(path)
    assert (len(session.trials), session.annotation.note, session.dropped) == (4, "x", ())


async def test_a_session_that_another_process_measures_is_refused(tmp_path):
    run = measurement(tmp_path, n_warmup=0)
    await drive(run, first_token, run.stop)
    elsewhere = Claim(run.session_path)
    with pytest.raises(SessionError, match="another tuibench measures it"):
        await collect(resumed(tmp_path, run.session_path))
    elsewhere.give_up()
    _, state = await collect(resumed(tmp_path, run.session_path))
    assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}


async def test_restored_records_are_told_before_the_first_trial(tmp_path):
    run = measurement(tmp_path, n_warmup=0)
    await drive(run, lambda event: isinstance(event, TrialStarted) and event.method == "b", run.stop)
    events, _ = await collect(resumed(tmp_path, run.session_path))
    restored = next(event for event in events if isinstance(event, RecordsRestored))
    assert [(trial.method, trial.index) for trial in restored.trials] == [("a", 0)]
    assert events.index(restored) < min(i for i, event in enumerate(events) if isinstance(event, TrialStarted))


async def test_other_weights_version_or_machine_are_obstacles(tmp_path):
    run = measurement(tmp_path, n_warmup=0)
    await drive(run, first_token, run.stop)
    session = load(run.session_path)
    assert list(obstacles(session, MODEL)) == []

    def changed(**fields):
        header = msgspec.structs.replace(session.header, **fields)
        return msgspec.structs.replace(session, header=header)

    here = session.header.machine
    machine = msgspec.structs.replace(here, cpu="Another CPU")
    upgraded = msgspec.structs.replace(here, libraries=here.libraries | {"textual": "0.1"})
    assert list(obstacles(changed(machine=upgraded), MODEL)) == []
    older_torch = msgspec.structs.replace(here, libraries=here.libraries | {"torch": "1.0"})
    model = msgspec.structs.replace(session.header.model, digest="ff")
    for other, word in [
        (changed(machine=machine), "Another CPU"),
        (changed(machine=older_torch), "other software: torch: "),
        (changed(model=model), "other weights"),
        (changed(tuibench_version="0.0.0"), "0.0.0"),
        (changed(schema_version=99), "newer"),
    ]:
        assert word in " ".join(obstacles(other, MODEL))


async def test_other_texts_to_calibrate_or_score_on_are_obstacles(tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("one text")
    scored = EvalText(name="prose", text="some prose")
    run = measurement(tmp_path, calibration=Calibration(file=str(own)), eval_text=scored)
    header = run._writer.header
    spec = RunSpec(model="toy", methods=("a",), prompt="p", calibration=Calibration(file=str(own)), eval_text=scored)
    assert list(other_texts(header, spec)) == []
    assert list(other_texts(header, msgspec.structs.replace(spec, eval_text=None))) == []

    def reason(**changes):
        return " ".join(other_texts(header, msgspec.structs.replace(spec, **changes)))

    assert "prose" in reason(eval_text=EvalText(name="prose", text="other prose"))
    assert "calibrated" in reason(calibration=Calibration())
    assert "calibrated" in reason(calibration=Calibration(file=str(own), ranges="entropy"))
    own.write_text("another text")
    assert "calibrated" in reason()


async def test_the_model_is_told_the_day_of_the_session_when_it_goes_on(tmp_path):
    whole = measurement(tmp_path, n_warmup=0, prompt_date=date(2024, 2, 29))
    await collect(whole)
    path = whole.session_path
    path.write_bytes(path.read_bytes()[: table_ends(path.read_bytes())[0]])
    await collect(resumed(tmp_path, path))
    trials = load(path).trials
    assert [trial.prompt_text_sha256 for trial in trials] == ["2024-02-29"] * 4


def test_a_host_goes_on_with_its_threads_or_with_those_that_were_asked_for():
    spec = RunSpec(
        model="toy",
        methods=("a@reached", "a@never"),
        prompt="a",
        hosts=(Host(name="reached", launcher=("env",)), Host(name="never", launcher=("env",))),
        threads_of_hosts={"reached": 3, "never": 3},
    )
    header = start_header(spec, MODEL, ())
    told = HostRecord(name="reached", n_threads=2, machine=header.machine, told=header.created)
    session = Session(header=header, trials=(), hosts={"reached": told})
    assert threads_of_hosts(session) == {"reached": 2, "never": 3}
    header = start_header(msgspec.structs.replace(spec, threads_of_hosts={}), MODEL, ())
    assert threads_of_hosts(Session(header=header, trials=(), hosts={"reached": told})) == {"reached": 2}


def test_a_cache_that_does_not_fit_there_is_told_with_what_is_free_there():
    shape = Shape(prompt_tokens=8, max_new_tokens=8, n_threads=1)
    ready = EngineReady(at_ns=0, kv_cache=KvCacheSize(bytes_per_token=100))
    kind, _ = why_impossible(shape, "a", ready, 1000)
    assert kind is FailureKind.OUT_OF_MEMORY
    assert why_impossible(shape, "a", ready, 2000) is None
    assert why_impossible(shape, "a", ready, None) is None


def test_an_older_session_goes_on_with_the_day_on_which_it_began():
    assert scripted_header().settings.prompt_date is None
    spec = resumed_spec(scripted_header(), model="toy", eval_text=None, timeout_s=None)
    assert spec.prompt_date == scripted_header().created.date()
