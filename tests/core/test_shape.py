"""Shapes, the lists that they are written as, and the order in which they are measured."""

from collections import Counter

import pytest

from tuibench.core.run.number_lists import MOST_NUMBERS, NumberListError, numbers_in
from tuibench.core.run.plan import sweep_order
from tuibench.core.run.shape import Shape, Sweep, describe, swept_axes

SWEEP = Sweep(prompt_tokens=(64, 512), depth_tokens=(0, 4096), max_new_tokens=(16,), n_threads=(1, 2))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("64", (64,)),
        ("64,512,2048", (64, 512, 2048)),
        # llama-bench's README: 'first-last', 'first-last+step', 'first-last*mult'
        ("1-4", (1, 2, 3, 4)),
        ("1-8*2", (1, 2, 4, 8)),
        ("64-512+64", (64, 128, 192, 256, 320, 384, 448, 512)),
        ("1-7+3, 9", (1, 4, 7, 9)),
        ("8,1-8*2", (8, 1, 2, 4)),
        ("5-5*1", (5,)),
    ],
)
def test_lists_and_ranges_are_llama_benchs(text, numbers):
    assert numbers_in(text, least=0, most=10_000) == numbers


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a number is missing"),
        ("1,,2", "a number is missing"),
        ("1-8*1", "1-8*1 never ends"),
        ("0-8*2", "0-8*2 never ends"),
        ("1-8+0", "1-8+0 never ends"),
        ("8-1", "8-1 ends before it begins"),
        ("-4", "'-4' is neither a number nor a range"),
        ("1.5", "'1.5' is neither"),
        ("1-999999999", f"more than {MOST_NUMBERS} numbers"),
        ("20000", "20000 is too large: 1 to 10000"),
        ("0", "0 is too small: 1 to 10000"),
        (",".join(["1-1000", "1001-2000"]), f"more than {MOST_NUMBERS} numbers"),
    ],
)
def test_a_list_that_says_nothing_or_never_ends_is_refused_with_the_reason(text, why):
    with pytest.raises(NumberListError) as refused:
        numbers_in(text, least=1, most=10_000)
    assert why in str(refused.value)


def test_a_sweep_is_every_combination_those_with_the_same_threads_together():
    shapes = SWEEP.shapes()
    assert len(shapes) == len(set(shapes)) == SWEEP.n_shapes == 8
    assert [shape.n_threads for shape in shapes] == [1] * 4 + [2] * 4
    assert {(shape.prompt_tokens, shape.depth_tokens) for shape in shapes} == {
        (64, 0),
        (64, 4096),
        (512, 0),
        (512, 4096),
    }


def test_shapes_are_called_after_what_tells_them_apart():
    shapes = SWEEP.shapes()
    assert swept_axes(shapes) == ("prompt_tokens", "depth_tokens", "n_threads")
    assert describe(shapes[0], swept_axes(shapes)) == "prompt 64, depth 0, 1 thread"
    assert describe(Shape(max_new_tokens=1, n_threads=2)) == "depth 0, 1 new token, 2 threads, 1 user"


def test_every_round_measures_every_method_under_every_shape_side_by_side():
    turns = sweep_order(("a", "b"), SWEEP.shapes(), 4)
    assert set(Counter(turns).values()) == {1}
    for index in range(4):
        of_round = [turn for turn in turns if turn.index == index]
        assert {(turn.method, turn.shape) for turn in of_round} == {(m, s) for m in "ab" for s in SWEEP.shapes()}
        neighbours = zip(of_round[::2], of_round[1::2], strict=True)
        assert all(first.shape == second.shape and first.method != second.method for first, second in neighbours)


def test_shapes_change_their_places_so_that_drift_hits_all_alike():
    places = Counter()
    for position, turn in enumerate(sweep_order(("a",), SWEEP.shapes(), 2)):
        places[turn.shape] += position
    assert len(set(places.values())) == 1


@pytest.mark.parametrize(
    ("prompts", "depths", "n_new", "window"),
    [
        ((64, 300), (0,), 16, None),
        ((64,), (0, 432), 16, None),
        ((64,), (0, 433), 16, 1024),
        ((), (0, 40_000), 16, 8192),
    ],
)
def test_quality_is_measured_on_windows_that_the_longest_text_fits_into(prompts, depths, n_new, window):
    sweep = Sweep(prompt_tokens=prompts, depth_tokens=depths, max_new_tokens=(4, n_new), n_threads=(1,))
    assert sweep.window_tokens == window
