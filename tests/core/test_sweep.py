"""What a sweep shows, from figures whose truth is known."""

import msgspec
import pytest

from tests.measured_runs import trials
from tests.scripted import failed
from tuibench.core.present.sweep_lines import impossible_lines, sweep_lines, sweep_maps, sweep_sentences, untried_words
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun, by_shape
from tuibench.core.results.metrics import DECODE, TTFT
from tuibench.core.results.sweep import crossings, knees, lines, sweep_runs, winner
from tuibench.core.run.events import FailureKind
from tuibench.core.run.shape import Shape, Sweep


def fields(shape):
    return {
        "prompt_tokens": shape.prompt_tokens,
        "depth_tokens": shape.depth_tokens,
        "max_new_tokens": shape.max_new_tokens,
        "n_threads": shape.n_threads,
    }


def swept(sweep, speeds_of, n=5, **made):
    """Compare methods whose decode speed under a shape is `speeds_of[method](shape)`."""
    records = [
        each
        for shape in sweep.shapes()
        for method, speed_of in speeds_of.items()
        for each in trials(method, speed_of(shape), n, **fields(shape), **made)
    ]
    run = MeasuredRun("s", tuple(speeds_of), tuple(records))
    return compare(by_shape(run, sweep.shapes()), parents={})


PROMPTS = Sweep(prompt_tokens=(64, 256, 1024, 4096), max_new_tokens=(4,), n_threads=(1,))
SPEEDS = {"steep": lambda shape: 100 * 64 / shape.prompt_tokens, "flat": lambda _: 12.5}


def test_the_winner_is_sure_only_where_every_other_is_told_apart():
    comparison = swept(PROMPTS, {**SPEEDS, "flat-too": lambda _: 12.51})
    first, *_, last = sweep_runs(comparison)
    assert winner(comparison, first, DECODE).method == "steep"
    assert winner(comparison, first, DECODE).sure
    found = winner(comparison, last, DECODE)
    assert {found.method, *found.not_apart} == {"flat", "flat-too"}
    assert not found.sure


def test_few_trials_tell_no_winner():
    comparison = swept(PROMPTS, SPEEDS, n=2)
    assert not any(winner(comparison, number, DECODE).sure for number in sweep_runs(comparison))
    assert sweep_sentences(comparison)[-1].startswith("no prompt length shows a clear winner in decode speed")


def test_a_crossing_is_where_the_medians_are_equal():
    comparison = swept(PROMPTS, SPEEDS)
    (line,) = lines(comparison)
    (found,) = crossings(comparison, line, DECODE)
    assert (found.before, found.after, found.last, found.first) == ("steep", "flat", 256, 1024)
    assert found.at == pytest.approx(512, rel=0.05)  # 6400 / n = 12.5
    assert any(
        "decodes fastest, beyond it flat (between 256 and 1024)" in sentence for sentence in sweep_sentences(comparison)
    )


def test_lower_is_better_for_the_first_token():
    sweep = Sweep(prompt_tokens=(8, 16), max_new_tokens=(4,), n_threads=(1,))
    records = [
        each
        for shape in sweep.shapes()
        for method, ttft_ns in (("slow", 5_000_000), ("quick", 1_000_000))
        for each in trials(method, 10, ttft_ns=ttft_ns, **fields(shape))
    ]
    comparison = compare(by_shape(MeasuredRun("s", ("slow", "quick"), tuple(records)), sweep.shapes()), parents={})
    assert [winner(comparison, number, TTFT).method for number in sweep_runs(comparison)] == ["quick", "quick"]
    assert "8 to 16 tokens of prompt: quick answers first throughout" in sweep_sentences(comparison)


THREADS = Sweep(max_new_tokens=(4,), n_threads=(1, 2, 4))


def test_the_knee_is_the_fewest_threads_that_are_about_as_fast_as_any():
    comparison = swept(THREADS, {"bound": lambda shape: {1: 10, 2: 19, 4: 19.2}[shape.n_threads]})
    (found,) = knees(comparison)
    assert (found.n_threads, found.n_fewest) == (2, 1)
    assert found.gain.value == pytest.approx(1.9, rel=0.01)
    assert found.more.value == pytest.approx(19.2 / 19, rel=0.01)
    assert sweep_sentences(comparison) == ["bound: 2 threads: 1.90× 1 thread; more would not help: 1.01× [1.01, 1.01]"]


def test_a_method_that_still_gains_has_no_knee_below_the_most():
    comparison = swept(THREADS, {"scales": lambda shape: 10 * shape.n_threads})
    (found,) = knees(comparison)
    assert (found.n_threads, found.more) == (4, None)


def test_each_axis_is_walked_with_the_others_fixed():
    sweep = Sweep(prompt_tokens=(8, 16), depth_tokens=(0, 32), max_new_tokens=(4,), n_threads=(1, 2))
    walks = lines(swept(sweep, {"a": lambda _: 10}))
    assert len(walks) == 3 * 4
    assert all(len(walk.runs) == 2 and len(walk.rest) == 2 for walk in walks)


def test_a_cell_that_could_not_be_is_empty_with_its_reason():
    shapes = Sweep(prompt_tokens=(8, 9000), max_new_tokens=(4,), n_threads=(1,)).shapes()
    why = "the model's window holds 8192"
    gone = failed("a", FailureKind.BAD_INPUT, message=why)
    records = [*trials("a", 10, **fields(shapes[0])), *trials("b", 20, **fields(shapes[0]))]
    records.append(type(gone)(**{name: getattr(gone, name) for name in gone.__struct_fields__} | fields(shapes[1])))
    comparison = compare(by_shape(MeasuredRun("s", ("a", "b"), tuple(records)), shapes), parents={})
    (_, cells), (label, empty) = sweep_maps(comparison)[0].rows
    assert [cell.best for cell in cells] == [False, True]
    assert (label, empty[0].why_missing) == ("prompt 9000", why)
    assert [f"a: prompt 9000: {why}"] in sweep_lines(comparison)


def half_measured(why="cancelled before it began", kind=FailureKind.CANCELLED):
    """Compare a sweep over prompts, depths and threads that was stopped after its first two shapes."""
    shapes = Sweep(prompt_tokens=(8, 16), depth_tokens=(0, 32), max_new_tokens=(4,), n_threads=(1, 2)).shapes()
    records = [each for shape in shapes[:2] for name in "ab" for each in trials(name, 10, **fields(shape))]
    records += [
        msgspec.structs.replace(failed(name, kind, message=why), **fields(shape))
        for name in "ab"
        for shape in shapes[2:]
    ]
    return compare(by_shape(MeasuredRun("s", ("a", "b"), tuple(records)), shapes), parents={})


def test_what_was_not_measured_is_called_what_it_is():
    none = MeasuredRun("tuesday", ("a",), ())
    found = compare([MeasuredRun("monday", ("a",), tuple(trials("a", 10))), none], parents={})
    assert untried_words(found, range(2)) == "1 of 2 sessions not measured"


def test_what_a_stopped_sweep_did_not_come_to_is_counted_and_names_nothing():
    comparison = half_measured()
    found = sweep_maps(comparison)[0]
    assert [label for label, _ in found.rows] == ["prompt 8", "prompt 16"]
    assert found.title == "decode speed · depth 0, 1 thread"
    assert impossible_lines([found]) == ["6 of 8 shapes not measured"]
    (walk,) = lines(comparison)
    assert (walk.values, walk.rest) == ((8, 16), {})
    assert [comparison.runs[number].label for number in comparison.tried(range(8))] == [
        "s · prompt 8, depth 0, 1 thread",
        "s · prompt 16, depth 0, 1 thread",
    ]


def test_why_cells_are_empty_is_told_once_for_all_of_them():
    found = sweep_maps(half_measured("too long", FailureKind.BAD_INPUT))[0]
    assert len(found.rows) == 8
    (line,) = impossible_lines([found])
    assert line.startswith("every method: prompt 8, depth 32, 1 thread; prompt 16, depth 32, 1 thread; ")
    assert line.count("too long") == 1


def test_a_narrow_terminal_gets_several_tables():
    names = {f"method-{number}": lambda _: 10 for number in range(9)}
    comparison = swept(PROMPTS, names)
    for paragraph in sweep_lines(comparison, width=60)[1:-1]:
        assert max(map(len, paragraph)) <= 60


def test_a_session_of_one_shape_is_no_sweep():
    comparison = compare([MeasuredRun("s", ("a",), tuple(trials("a", 10)))], parents={})
    assert sweep_runs(comparison) == ()
    assert sweep_lines(comparison) == []
    assert Shape(max_new_tokens=1, n_threads=1) != Shape(max_new_tokens=1, n_threads=2)
