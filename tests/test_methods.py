"""Plug-ins that are installed beside ours, in processes of their own: what is found is remembered."""

import json
import os
import subprocess
import sys

import pytest

from tests.caches import knowing_the_bandwidth
from tests.scripted_methods import provide, save_toy_model
from tuibench.methods import available_methods
from tuibench.store.session import load

ODD = {
    "missing_module": (
        "no_such_module:Engine",
        "cannot be imported: ModuleNotFoundError: No module named 'no_such",
    ),
    "missing_class": ("odd_plugins:Nothing", "cannot be imported: AttributeError"),
    "raises": ("raises_on_import:Engine", "cannot be imported: RuntimeError: made for ␛[31manother version"),
    "exits": ("exits_on_import:Engine", "cannot be imported: SystemExit: usage"),
    "no_reference": ("not a module!", "cannot be imported"),
    "not_a_class": ("odd_plugins:NOT_A_CLASS", "is not a class"),
    "without_method": ("odd_plugins:WithoutMethod", "has no attribute `method`"),
    "dict_method": ("odd_plugins:DictMethod", "has no attribute `method` that is a tuibench.core.run.spec.Method"),
    "odd_field": ("odd_plugins:OddField", "malformed `method`: Expected `array`, got `null` - at `$.requires`"),
    "odd_requires": ("odd_plugins:OddRequires", "'no module'"),
    "other_id": ("odd_plugins:OtherId", "calls itself 'sound', and 'other-id' where it is installed"),
}
CIRCLES = {
    "circle_a": "odd_plugins:CircleA",
    "circle_b": "odd_plugins:CircleB",
    "own_parent": "odd_plugins:OwnParent",
    "above_circle": "odd_plugins:AboveCircle",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    odd = {name: reference for name, (reference, _) in ODD.items()}
    installed = provide(folder / "installed", **odd, **CIRCLES)
    folders = {f"TUIBENCH_{name}": str(folder / name.lower()) for name in ("SESSIONS", "CACHE", "CONFIG")}
    knowing_the_bandwidth(folder / "cache")
    return {**os.environ, **installed, **folders}


def python(environment, *arguments):
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def rows(environment):
    done = python(environment, "-m", "tuibench", "methods")
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: line for line in done.stdout.splitlines()}


def test_ours_have_no_problem():
    assert [method.id for method in available_methods().values() if method.problem] == []


@pytest.mark.parametrize("name", ODD)
def test_a_plug_in_that_cannot_be_used_is_a_row_with_the_package_and_the_reason(rows, name):
    assert ODD[name][1] in rows[name.replace("_", "-")]
    assert f"({ODD[name][0]} of scripted-engine 1)" in rows[name.replace("_", "-")]


def test_the_others_keep_their_rows_and_come_first(rows):
    assert {*available_methods(), "sound", "faulty"} < rows.keys()
    assert {name.replace("_", "-") for name in ODD} == {*list(rows)[-len(ODD) :]}


def test_parents_in_a_circle_are_told_and_left_out(rows):
    assert "their" not in rows["above-circle"]
    assert "circle, circle-a → circle-b → circle-a)" in rows["circle-a"]
    assert "circle, circle-b → circle-a → circle-b)" in rows["circle-b"]
    assert "circle, own-parent → own-parent)" in rows["own-parent"]
    assert "Two lines ␛[2J. (after circle-a)" in rows["above-circle"]


def test_the_ladder_of_a_comparison_has_no_circle(environment):
    done = python(environment, "-c", "import json; from tuibench.methods import *; print(json.dumps(ladder_parents()))")
    parents = json.loads(done.stdout)
    assert [parents[name] for name in ("circle-a", "circle-b", "own-parent", "raises")] == [None] * 4
    assert parents["above-circle"] == "circle-a"


def test_a_run_has_a_row_with_the_reason_and_measures_the_rest(environment, tmp_path):
    model = save_toy_model(tmp_path / "toy")
    chosen = ("--methods", "missing-module,other-id,exits,circle-a,sound", "--model", str(model), "--prompt", "a b")
    short = ("--trials", "1", "--warmup", "0", "--max-new-tokens", "4", "--no-quality")
    done = python(environment, "-m", "tuibench", "run", *chosen, *short, "--output", str(tmp_path / "sessions"))
    assert done.returncode == 1, done.stderr
    (path,) = (tmp_path / "sessions").glob("*.toml")
    told = {trial.method: trial.failure_message for trial in load(path).trials}
    assert told["sound"] is None
    assert told["circle-a"] is None
    for name in ("missing_module", "other_id", "exits"):
        assert ODD[name][1] in told[name.replace("_", "-")]


def test_the_doctor_examines_a_machine_with_odd_plug_ins(environment):
    done = python(environment, "-m", "tuibench", "doctor", "--format", "json")
    assert json.loads(done.stdout)["machine"]["cpu"], done.stderr
