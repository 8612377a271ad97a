import msgspec
import pytest
from msgspec.structs import replace

from tests.measured_runs import quality, trials
from tests.scripted import failed, header
from tuibench.cli.result_table import detail_lines, result_lines
from tuibench.core.run.events import FailureKind
from tuibench.core.run.run_events import MachineDescribed, RunStarted, TrialEnded
from tuibench.core.run.state import RunState, fold

METHODS = ("baseline", "kv-cache", "onnx", "onnx-fused", "int8-dynamic", "int4-onnx")


def run(*records, methods=METHODS):
    state = fold(RunState(), RunStarted(methods, ()))
    for each in records:
        state = fold(state, TrialEnded(each))
    return state


def ladder(*, scored=False):
    speeds = dict(zip(METHODS, (3, 12, 14, 38, 59, 80), strict=True))
    state = run(*(each for method, tps in speeds.items() for each in trials(method, tps)))
    if not scored:
        return state
    rated = {name: method for name, method in state.methods.items() if name != "kv-cache"}
    with_quality = {name: replace(method, quality=quality(name, 0.0045)) for name, method in rated.items()}
    return replace(state, methods=state.methods | with_quality)


def table(lines):
    """Return what stands below the headline."""
    below = lines[lines.index("") + 1 :]
    return below[: below.index("")] if "" in below else below


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("scored", [False, True])
def test_table_fits_the_terminal(width, scored):
    lines = table(result_lines(ladder(scored=scored), width=width))
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines] == ["method", *METHODS]


def test_wide_table_has_both_gains_with_intervals_and_quality():
    heading, *_, int8, _ = table(result_lines(ladder(scored=True), width=140))
    assert heading.split("  ")[0] == "method"
    for name in ("step", "total", "TTFT", "decode", "peak RSS", "size", "KLD", "top-1"):
        assert name in heading
    assert int8.count("[") == 2
    assert "0.0045 ± 0.0004" in int8


def test_narrow_table_keeps_gains_decode_and_divergence():
    heading, *_, int8, _ = table(result_lines(ladder(scored=True), width=80))
    for name in ("step", "total", "decode", "KLD"):
        assert name in heading
    assert "0.0045" in int8
    assert "±" not in int8


def test_columns_without_a_value_are_hidden():
    heading, *_ = table(result_lines(ladder(), width=140))
    assert "KLD" not in heading
    assert "top-1" not in heading


def test_a_failed_method_keeps_its_row_and_says_why_below():
    state = run(
        *trials("kv-cache", 12),
        failed("int8-static", FailureKind.BAD_INPUT, message="calibration text too short\x1b[1m"),
        methods=("kv-cache", "int8-static"),
    )
    lines = result_lines(state)
    assert table(lines)[2].split() == ["int8-static", "0", *"––––"]
    assert "int8-static: bad-input: calibration text too short␛[1m" in lines


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_headline_is_the_first_line_and_comes_again_at_the_end_with_all_remarks(width):
    first, empty, *_, last = result_lines(ladder(scored=True), width=width)
    assert first == "take int4-onnx: fastest within KLD ≤ 0.05"
    assert empty == ""
    assert last.startswith(f"{first}; kv-cache if the output must be identical; ")


def test_a_run_without_a_measurement_has_a_table():
    assert table(result_lines(run(methods=("kv-cache",))))[0].split() == ["method", "n"]


def test_texts_drawn_at_random_are_not_compared():
    state = run(*trials("kv-cache", 12), *trials("onnx", 13, token_ids=(9, 9)), methods=("kv-cache", "onnx"))
    assert any("first difference" in line for line in result_lines(state))
    assert not any("first difference" in line for line in result_lines(replace(state, greedy=False)))


def test_methods_that_guess_tell_how_often_they_were_right():
    guesses = {"n_model_steps": 2, "n_guessed": 4, "n_guessed_right": 1}
    state = run(
        *trials("kv-cache", 12), *trials("kv-cache-lookup", 13, **guesses), methods=("kv-cache", "kv-cache-lookup")
    )
    heading, plain, guessing = table(result_lines(state, width=200))[:3]
    assert heading.split()[-2:] == ["accepted", "tokens/step"]
    assert plain.split()[-2:] == ["–", "–"]
    assert guessing.split()[-3:] == ["25.0", "%", "1.50"]


def test_the_machines_limit_stands_below_the_verdict():
    told = {"weight_bytes": 500_000_000, "observer_cpu_ns": 1_000_000}
    machine = msgspec.structs.replace(header().machine, read_bytes_per_s=10_000_000_000)
    state = fold(run(*trials("kv-cache", 12, **told)), MachineDescribed(machine, 2))
    *_, roof, kv_cache, cost, _, _ = result_lines(state)
    assert roof == "read bandwidth with 2 threads: 10.0 GB/s"
    assert kv_cache.startswith("kv-cache: 60 % of this machine's read bandwidth: memory-bound")
    assert cost.startswith("this program used 0.1 % of the CPU")


def test_details_tell_each_figure_of_the_quality_with_its_standard_error():
    full = quality(
        "int8", 0.0041, n_scored=1020, kld_median=0.0035, kld_p99=0.0154, delta_p_mean=-0.0009, delta_p_mean_se=0.0004,
        delta_p_rms=0.0122, delta_p_rms_se=0.0006, top1_se=0.0059, perplexity=39.85, perplexity_se=3.86,
        reference_bytes=2 << 20,
    )  # fmt: skip
    differing = trials("int8", 30, token_ids=(1, 2, 9, 9))
    state = run(*trials("kv-cache", 10, token_ids=(1, 2, 3, 4)), *differing, methods=("kv-cache", "int8"))
    state = replace(state, methods=state.methods | {"int8": replace(state.methods["int8"], quality=full)})
    _, told, _, reference, int8, *_ = detail_lines(state, width=200)
    assert told == "closeness to kv-cache on text: 1020 positions, reference cached in 2.00 MiB"
    assert reference.endswith("reference     4 tokens")
    for part in (
        "0.0041 ± 0.0004", "0.0035", "0.0154", "−0.09 % ± 0.04 %", "1.22 % ± 0.06 %", "97.00 % ± 0.59 %",
        "39.85 ± 3.86", "2 of 4 tokens",
    ):  # fmt: skip
        assert part in int8
    assert all(len(line) <= 80 for line in detail_lines(state, width=80))


def test_details_tell_memory_by_phase_and_the_cache_at_its_length():
    told_once = {"load_peak_bytes": 300 << 20, "kv_bytes_per_token": 1 << 20}
    warmup = trials("kv-cache", 10, n=1, warmup=True, n_prompt=6, token_ids=(), peak_rss_bytes=400 << 20, **told_once)
    measured = trials(
        "kv-cache", 10, n_prompt=6, prefill_peak_bytes=400 << 20, peak_rss_bytes=500 << 20, token_ids=(1, 2, 3, 4),
    )  # fmt: skip
    *_, heading, row = detail_lines(run(*warmup, *measured, methods=("kv-cache",)), width=200)
    assert heading.split() == ["method", "loaded", "prefilled", "decoded", *heading.split()[4:]]
    assert row.split("  ")[0] == "kv-cache"
    for part in ("300 MiB", "400 MiB", "500 MiB", "10.0 MiB at 10 tokens"):
        assert part in row


def test_a_result_without_memory_and_quality_has_no_details():
    assert detail_lines(run(failed("kv-cache", FailureKind.CRASHED), methods=("kv-cache",))) == []
