"""Quality turns: with scripted workers where faults are needed, with real ones where figures are."""

import os
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny_models import CORPUS
from tuibench.core.run.events import FailureKind, Phase, PhaseProgressed
from tuibench.core.run.run_events import Noticed, QualityEnded, QualityStarted, TrialObserved
from tuibench.core.run.shape import Sweep
from tuibench.core.run.spec import EvalText, RunSpec
from tuibench.core.run.state import MethodStatus
from tuibench.measure.process.time_limits import Deadlines, TimeLimits
from tuibench.measure.run.evaluation_text import EvalFileError, shipped_text, text_from
from tuibench.measure.run.measurement import Measurement
from tuibench.store.replay import Replay, stored_state
from tuibench.store.session import load

SCRIPT = Path(__file__).with_name("scripted_scorer.py")
LIMITS = TimeLimits(phase_s=dict.fromkeys(Phase, 600.0), token_s=600.0, heartbeat_s=600.0, terminate_s=0.4)
TEXT = EvalText(name="corpus", text=" ".join(CORPUS))


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


def spec(methods, text=TEXT, **changes):
    return RunSpec(
        model="tiny",
        methods=methods,
        prompt="Once",
        max_new_tokens=4,
        n_trials=1,
        n_warmup=0,
        eval_text=text,
        **changes,
    )


def real(model, tmp_path, methods, text=TEXT):
    return Measurement(spec(methods, text), model, tmp_path / "sessions", limits=LIMITS)


def scripted(model, tmp_path, methods, **behaviour):
    command = (sys.executable, str(SCRIPT), *(f"{method}={what}" for method, what in behaviour.items()))
    limits = replace(LIMITS, phase_s=LIMITS.phase_s | {Phase.QUALITY: 2.0}) if "hang" in behaviour.values() else LIMITS
    return Measurement(spec(methods), model, tmp_path / "sessions", limits=limits, worker_command=command)


async def collect(run, on_event=lambda _: None):
    folded = []
    async with aclosing(run.events()) as stream:
        async for each in stream:
            folded.append(each)
            on_event(each.event)
    return [each.event for each in folded], folded[-1].state


def qualities(events):
    return {event.record.method: event.record for event in events if isinstance(event, QualityEnded)}


@pytest.mark.usefixtures("warm_cache")
async def test_real_methods_are_scored_and_the_figures_saved(tiny_llama, tmp_path):
    run = real(tiny_llama, tmp_path, ("kv-cache", "int8-torch"))
    events, state = await collect(run)
    found = qualities(events)
    assert not found["kv-cache"].failed, found
    assert found["kv-cache"].kld_mean == pytest.approx(0, abs=1e-6)
    assert found["kv-cache"].top1 == 1
    assert found["int8-torch"].kld_mean > 1e-5
    assert found["int8-torch"].perplexity > 1
    assert found["kv-cache"].n_scored == found["int8-torch"].n_scored > 100
    assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}
    assert state.methods["int8-torch"].quality is found["int8-torch"]
    session = load(run.session_path)
    assert session.quality == tuple(found.values())
    assert session.dropped == ()
    assert stored_state(session).methods["kv-cache"].quality == found["kv-cache"]
    replayed = [event for _, event in Replay(session).timed_events() if isinstance(event, QualityEnded)]
    assert [event.record for event in replayed] == list(found.values())
    progress = [event.event for event in events if isinstance(event, TrialObserved)]
    assert any(isinstance(event, PhaseProgressed) and event.label == "scoring the text" for event in progress)


async def test_the_reference_is_made_where_its_method_is_not_measured_and_kept(tiny_llama, tmp_path):
    events, _ = await collect(real(tiny_llama, tmp_path, ("baseline",)))
    assert qualities(events)["baseline"].kld_mean == pytest.approx(0, abs=1e-6)
    assert any(isinstance(event, Noticed) and "kv-cache" in event.text for event in events)
    events, _ = await collect(scripted(tiny_llama, tmp_path, ("kv-cache", "b")))
    assert not any(isinstance(event, Noticed) for event in events)
    # Nobody has to make it any more, so the worker at hand is scored first.
    assert [event.method for event in events if isinstance(event, QualityStarted)] == ["b", "kv-cache"]


async def test_a_reference_that_does_not_fit_is_computed_layer_by_layer(tiny_llama, tmp_path):
    events, _ = await collect(scripted(tiny_llama, tmp_path, ("b",), **{"kv-cache": "too-large"}))
    assert qualities(events)["b"].kld_mean == 0.25
    noticed = [event.text for event in events if isinstance(event, Noticed)]
    assert noticed[-1].startswith("it takes 9 GiB, 1 GiB is free: its weights are read layer by layer instead")


@pytest.mark.usefixtures("warm_cache")
async def test_a_text_that_is_too_short_fails_the_score_and_not_the_trials(tiny_llama, tmp_path):
    events, state = await collect(real(tiny_llama, tmp_path, ("kv-cache",), EvalText(name="short", text="One two.")))
    assert qualities(events)["kv-cache"].failure_kind is FailureKind.BAD_INPUT
    assert "64 are the least" in qualities(events)["kv-cache"].failure_message
    assert state.methods["kv-cache"].status is MethodStatus.DONE


async def test_no_text_no_scores(tiny_llama, tmp_path):
    run = Measurement(
        spec(("kv-cache",), text=None), tiny_llama, tmp_path, worker_command=(sys.executable, str(SCRIPT))
    )
    events, state = await collect(run)
    assert qualities(events) == {}
    assert not state.scored


@pytest.mark.parametrize(
    ("what", "kind"),
    [("crash", FailureKind.CRASHED), ("hang", FailureKind.TIMED_OUT), ("nan", FailureKind.ERROR)],
)
async def test_a_method_that_fails_leaves_the_others_alone(tiny_llama, tmp_path, what, kind):
    run = scripted(tiny_llama, tmp_path, ("kv-cache", "b", "c"), b=what)
    events, state = await collect(run)
    found = qualities(events)
    assert found["b"].failure_kind is kind
    assert found["b"].kld_mean is None
    assert found["c"].kld_mean == 0.25
    assert state.methods["b"].status is MethodStatus.DONE
    assert load(run.session_path).quality == tuple(found.values())


async def test_without_a_reference_every_score_says_why(tiny_llama, tmp_path):
    events, _ = await collect(scripted(tiny_llama, tmp_path, ("kv-cache", "b"), **{"kv-cache": "crash"}))
    found = qualities(events)
    assert found["kv-cache"].failure_kind is FailureKind.CRASHED
    assert found["b"].failure_kind is FailureKind.SKIPPED
    assert "no FP32 reference" in found["b"].failure_message


async def test_a_sweep_scores_each_method_once_on_windows_that_its_longest_text_fits_into(tiny_llama, tmp_path):
    sweep = Sweep(prompt_tokens=(3, 40), depth_tokens=(0, 700), max_new_tokens=(4,), n_threads=(1, 2))
    asked = spec(("kv-cache", "onnx"), sweep=sweep, running_text=TEXT)
    run = Measurement(
        asked, tiny_llama, tmp_path / "sessions", limits=LIMITS, worker_command=(sys.executable, str(SCRIPT))
    )
    events, _ = await collect(run)
    scored = [event.record for event in events if isinstance(event, QualityEnded)]
    assert sorted((record.method, record.window_tokens) for record in scored) == [("kv-cache", 1024), ("onnx", 1024)]


async def test_skipping_ends_one_score_and_stopping_all(tiny_llama, tmp_path):
    run = scripted(tiny_llama, tmp_path, ("kv-cache", "b", "c"), b="report", c="report")

    def on_event(event):
        match event:
            case TrialObserved(method="b", event=PhaseProgressed()):
                run.skip("b")
            case TrialObserved(method="c", event=PhaseProgressed()):
                run.stop()

    events, state = await collect(run, on_event)
    found = qualities(events)
    assert found["b"].failure_kind is FailureKind.SKIPPED
    assert found["c"].failure_kind is FailureKind.CANCELLED
    assert state.cancelled


async def test_reports_of_progress_keep_a_slow_score_alive(tiny_llama, tmp_path, monkeypatch):
    """Each report takes 400 s, by a clock that only the reports move; 600 s are allowed."""
    clock_s, real = 0.0, Deadlines.enter

    def enter(self, phase):
        nonlocal clock_s
        real(self, phase)
        clock_s += 400 if phase is Phase.QUALITY else 0

    monkeypatch.setattr(Deadlines, "enter", enter)
    monkeypatch.setattr("tuibench.measure.process.time_limits._now_s", lambda: clock_s)
    monkeypatch.setattr("tuibench.measure.process.time_limits.LOOK_S", 1e9)  # nobody stood still
    events, _ = await collect(scripted(tiny_llama, tmp_path, ("kv-cache",), **{"kv-cache": "slow"}))
    assert qualities(events)["kv-cache"].kld_mean == 0.25


def test_the_shipped_text_has_a_name_and_enough_words():
    text = shipped_text()
    assert text.name == "jargon"
    assert len(text.text.split()) > 1500


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (b"caf\xe9", "UTF-8"), (None, "cannot be read")],
    ids=["empty", "latin-1", "gone"],
)
def test_a_file_that_cannot_serve_is_refused_with_its_name(tmp_path, content, why):
    path = tmp_path / "mine.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EvalFileError, match=rf"mine\.txt.*{why}"):
        text_from(path)


def test_a_mark_at_its_beginning_and_bytes_in_its_name_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_text("\ufeffHello", encoding="utf-8")
    assert text_from(path) == EvalText(name="caf\N{REPLACEMENT CHARACTER}.txt", text="Hello")
