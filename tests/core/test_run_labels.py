import pytest

from tuibench.core.present.run_labels import run_names, split_labels
from tuibench.core.results.measured_run import MeasuredRun, by_shape
from tuibench.core.run.shape import Sweep


@pytest.mark.parametrize(
    ("labels", "shared", "rest"),
    [
        (["monday"], "", ["monday"]),
        (["monday", "tuesday"], "", ["monday", "tuesday"]),
        (["monday · prompt 8", "monday · prompt 16"], "monday", ["prompt 8", "prompt 16"]),
        (
            ["monday · big · prompt 8", "monday · big · prompt 16", "monday · small · prompt 8"],
            "monday",
            ["big · prompt 8", "big · prompt 16", "small · prompt 8"],
        ),
        (
            ["monday · big · prompt 8", "tuesday · big · prompt 8"],
            "",
            ["monday · big · prompt 8", "tuesday · big · prompt 8"],
        ),
        (["monday · big", "monday"], "", ["monday · big", "monday"]),
    ],
)
def test_what_all_labels_begin_with_is_told_once(labels, shared, rest):
    assert split_labels(labels) == (shared, rest)


def parts(session, host=None):
    sweep = Sweep(prompt_tokens=(8, 16), max_new_tokens=(4,), n_threads=(1, 2))
    return by_shape(MeasuredRun(session, (), (), host=host), sweep.shapes())


@pytest.mark.parametrize(
    ("runs", "shown", "own", "brief", "shared", "session", "kind"),
    [
        (parts("monday"), [0, 3], ["prompt 8, 1 thread", "prompt 16, 2 threads"], ["p8 t1", "p16 t2"], "", "monday",
         "shape"),
        (parts("monday"), [0, 1], ["prompt 8", "prompt 16"], ["p8", "p16"], "1 thread", "monday", "shape"),
        (parts("monday"), [1], [""], [""], "prompt 16, 1 thread", "monday", "session"),
        (parts("monday", "big") + parts("monday", "small"), [0, 1], ["prompt 8", "prompt 16"], ["p8", "p16"],
         "big · 1 thread", "monday", "shape"),
        (parts("monday", "big") + parts("monday", "small"), [0, 4], ["big", "small"], ["big", "small"],
         "prompt 8, 1 thread", "monday", "machine"),
        (parts("monday") + parts("tuesday"), [0, 5], ["monday · prompt 8", "tuesday · prompt 16"],
         ["monday · p8", "tuesday · p16"], "1 thread", "", "session · shape"),
        ([*parts("monday"), MeasuredRun("plain", (), ())], [0, 4], ["monday", "plain"], ["monday", "plain"], "", "",
         "session"),
        ([MeasuredRun("monday", (), ()), MeasuredRun("tuesday", (), ())], [0, 1], ["monday", "tuesday"],
         ["monday", "tuesday"], "", "", "session"),
        ([], [], [], [], "", "", "session"),
    ],
)  # fmt: skip
def test_runs_are_called_by_what_tells_those_apart_that_are_shown(runs, shown, own, brief, shared, session, kind):
    names = run_names(runs, shown)
    assert (list(names.own.values()), list(names.brief.values())) == (own, brief)
    assert (names.shared, names.session, names.kind) == (shared, session, kind)
