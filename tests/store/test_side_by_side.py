from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tests.scripted import header, record
from tuibench.core.run.spec import Sampling
from tuibench.store.schema import Session
from tuibench.store.side_by_side import side_by_side

SESSION = Session(header=msgspec.structs.replace(header(), name="first"), trials=(record(),))
SETTINGS = SESSION.header.settings


def at(hours):
    return f"{SESSION.header.created.astimezone() + timedelta(hours=hours):%Y-%m-%d %H:%M}"


def other(*, name="second", cpu=None, model=None, digest=None, hours=0, **settings):
    header = SESSION.header
    machine = msgspec.structs.replace(header.machine, cpu=cpu or header.machine.cpu)
    weights = msgspec.structs.replace(
        header.model, name=model or header.model.name, digest=digest or header.model.digest
    )
    settings = msgspec.structs.replace(header.settings, **settings)
    created = header.created + timedelta(hours=hours)
    header = msgspec.structs.replace(
        header, name=name, created=created, machine=machine, model=weights, settings=settings
    )
    return msgspec.structs.replace(SESSION, header=header)


def warned(session, first=SESSION):
    return side_by_side([(Path("a.toml"), first), (Path("b.toml"), session)]).warnings


def test_the_same_machine_and_task_is_no_reason_to_warn():
    assert warned(other()) == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cpu": "Another"}, f"CPU: Another against {SESSION.header.machine.cpu}"),
        ({"n_threads": 7}, f"threads: 7 against {SETTINGS.n_threads}"),
        ({"max_new_tokens": 9}, f"tokens: 9 against {SETTINGS.max_new_tokens}"),
        ({"digest": "1" * 64}, "digest: 111111111111 against 000000000000"),
        ({"model": "Other", "digest": "1" * 64}, "model: Other against SmolLM2-135M-Instruct"),
    ],
)
def test_what_makes_speeds_incomparable_is_told(change, told):
    assert warned(other(**change)) == (f"second and first differ in what matters: {told}",)


def test_quality_measured_on_another_text_is_told():
    def scored_on(name, digest):
        return other(name=name, eval_name=name, eval_sha256=digest * 64)

    assert warned(scored_on("b", "1"), scored_on("a", "1")) == ()
    (warning,) = warned(scored_on("b", "1"), scored_on("a", "2"))
    assert warning.endswith("text that quality was measured on: b against a")
    assert warned(other(), scored_on("a", "2")) == ()  # not scored at all


def reading(session, sha256, n_prompt=12):
    return msgspec.structs.replace(session, trials=(record(prompt_text_sha256=sha256, n_prompt=n_prompt),))


@pytest.mark.parametrize(
    ("second", "first", "told"),
    [
        (reading(other(), "aa" * 32), reading(SESSION, "aa" * 32), None),
        (
            reading(other(), "bb" * 32, 13),
            reading(SESSION, "aa" * 32),
            "the same words, read as 13 tokens (bbbbbbbb) against 12 tokens (aaaaaaaa)",
        ),
        (reading(other(prompt="typed out", prompt_sha256="22" * 32), "aa" * 32), reading(SESSION, "aa" * 32), None),
        # One of an older version; another model, which has a template of its own.
        (reading(other(), "bb" * 32), SESSION, None),
        (other(prompt="Another", prompt_sha256="22" * 32), reading(SESSION, "aa" * 32), "Another (22222222) against"),
        (reading(other(model="Other", digest="1" * 64), "bb" * 32), reading(SESSION, "aa" * 32), None),
    ],
)
def test_prompts_are_the_same_if_the_model_read_the_same(second, first, told):
    prompt = [part for warning in warned(second, first) for part in warning.split("; ") if "prompt: " in part]
    assert bool(prompt) == bool(told)
    assert not told or told in prompt[0]


@pytest.mark.parametrize(
    ("names", "labels"),
    [(("x", "y"), ["x", "y"]), (("x", "x"), ["a", "a (2)"]), (("", "y"), [at(0), "y"])],
)
def test_each_session_has_a_name_of_its_own(names, labels):
    found = side_by_side([(Path("a.toml"), other(name=name)) for name in names])
    assert [run.label for run in found.comparison.runs] == labels


@pytest.mark.parametrize("name", ["", "x"])
def test_sessions_without_a_name_of_their_own_go_by_when_they_began(name):
    found = side_by_side([(Path("a.toml"), other(name=name, hours=hours)) for hours in (0, 3)])
    assert [run.label for run in found.comparison.runs] == [at(0), at(3)]


def test_text_drawn_at_random_in_one_session_is_compared_in_the_others():
    both = tuple(record(method) for method in ("kv-cache", "int8"))
    drawn, greedy = (
        msgspec.structs.replace(other(name=name, sampling=Sampling(temperature=warmth)), trials=both)
        for name, warmth in (("a", 0.7), ("b", 0.0))
    )
    found = side_by_side([(Path("a.toml"), drawn), (Path("b.toml"), greedy)]).comparison
    assert [found.row(run, "int8").agreement is None for run in (0, 1)] == [True, False]
