import csv
import io
from dataclasses import replace

import msgspec
import pytest

from tests.core.test_sweep import fields
from tests.measured_runs import PARENTS, measured, quality, trials
from tests.scripted import header
from tuibench.core.machine.validity import Lamp
from tuibench.core.present.sweep_lines import machine_map_lines, sweep_maps, sweep_sentences
from tuibench.core.results.by_host import parts_of, split_by_host
from tuibench.core.results.comparison import compare
from tuibench.core.results.host_verdict import host_choices, host_lines
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.metrics import DECODE
from tuibench.core.run.host import on_host
from tuibench.core.run.shape import Sweep
from tuibench.core.run.state import HostState
from tuibench.store.export.csv_text import as_csv
from tuibench.store.export.html import as_html
from tuibench.store.export.markdown import as_markdown
from tuibench.store.export.plots import as_svg

PRICES = {"big": 2.0, "small": 0.5}
SPEEDS = {"big": {"kv-cache": 20, "int8": 60}, "small": {"kv-cache": 10, "int8": 30}, None: {"kv-cache": 5}}


def rows(hosts, n=5):
    return [
        each for host in hosts for method, tps in SPEEDS[host].items() for each in trials(on_host(method, host), tps, n)
    ]


def runs(hosts=("big", "small"), prices=PRICES, n=5, scored=True):
    records = rows(hosts, n)
    found = [quality(on_host("int8", host), 0.01) for host in hosts] if scored else []
    run = MeasuredRun("", tuple(dict.fromkeys(record.method for record in records)), tuple(records), tuple(found))
    machine = header().machine
    return split_by_host(run, {host: HostState(machine, 2, prices.get(host)) for host in hosts if host})


def test_a_run_on_this_machine_alone_stays_as_it_is():
    run = measured(kv_cache=10)
    assert split_by_host(run, {}) == [run]


def test_each_machine_is_a_run_with_methods_under_their_own_names():
    big, here = runs(("big", None))
    assert (big.label, big.host, big.methods, big.n_threads) == ("big", "big", ("kv-cache", "int8"), 2)
    assert (here.label, here.host, here.methods, here.price_per_hour) == ("local", "local", ("kv-cache",), None)
    assert {record.method for record in big.trials} == {"kv-cache", "int8"}
    assert [record.method for record in big.quality] == ["int8"]


def test_methods_are_compared_within_their_machine_and_machines_by_method():
    found = compare(runs(), parents=PARENTS)
    assert found.row(0, "int8").against_yardstick.ratio.value == pytest.approx(3, rel=0.05)
    assert found.row(1, "int8").vs_first_session.value == pytest.approx(0.5, rel=0.05)
    assert [found.name(row) for row in found.rows] == ["kv-cache@big", "int8@big", "kv-cache@small", "int8@small"]


def test_in_two_sessions_of_two_machines_each_is_held_against_itself():
    later = [replace(run, label=f"later · {run.label}") for run in runs(("small", "big", None))]
    found = compare([*runs(), *later, measured(kv_cache=5)], parents=PARENTS)
    assert [found.runs[number].host for number in range(6)] == ["big", "small", "small", "big", "local", None]
    assert [found.held_against(number) for number in range(6)] == [0, 0, 1, 0, 0, 4]
    assert found.row(2, "int8").vs_first_session.value == pytest.approx(1, rel=0.05)


def test_the_fastest_and_the_cheapest_machine_are_named_with_the_price_of_a_million_tokens():
    found = compare(runs(), parents=PARENTS)
    fastest, cheapest = host_lines(found)
    assert fastest.startswith("fastest: int8 on big: ")
    assert "× int8 on small [" in fastest
    # 0.5 an hour at 30 tokens a second: 0.5 / 3600 / 30 × 10⁶ = 4.63; 2.0 at 60: 9.26.
    assert cheapest.startswith("cheapest: int8 on small: 4.6")
    assert " per million tokens, 2.0" in cheapest or " per million tokens, 1.9" in cheapest
    assert "× cheaper than on big [" in cheapest
    price = {choice.host: choice.price_per_million_tokens for choice in host_choices(found)}
    assert price == {"big": pytest.approx(9.26, rel=0.03), "small": pytest.approx(4.63, rel=0.03)}


def test_what_cannot_be_told_is_not_told():
    one, *_ = runs()
    assert host_lines(compare([one], parents=PARENTS)) == []
    assert host_lines(compare([measured(kv_cache=1), measured("b", kv_cache=2)], parents=PARENTS)) == []
    few = host_lines(compare(runs(n=1), parents=PARENTS))
    assert "(too few trials to tell)" in few[0]
    no_price = host_lines(compare(runs(prices={"big": 2.0}), parents=PARENTS))
    assert "no price is known of small: `price_per_hour` in the settings" in no_price
    assert not any(line.startswith("cheapest") for line in no_price)
    unscored = host_lines(compare(runs(scored=False), parents=PARENTS))
    assert "closeness to the reference was not measured everywhere" in unscored[-1]


def test_disturbed_trials_tell_no_machine():
    big, small = runs()
    disturbed = [msgspec.structs.replace(each, lamp=Lamp.RED, validity=("swapped",)) for each in small.trials]
    found = compare([big, replace(small, trials=tuple(disturbed))], parents=PARENTS)
    fastest, cheapest = host_lines(found)
    assert fastest.startswith("cannot tell, badly disturbed; fastest so far: int8 on big: ")
    assert cheapest.startswith("cannot tell, badly disturbed; cheapest so far: int8 on small: ")


def test_equal_machines_are_not_told_apart():
    big, small = runs()
    twin = replace(small, trials=big.trials)
    (fastest, *_) = host_lines(compare([big, twin], parents=PARENTS))
    assert fastest.endswith("(no difference)")


def test_a_map_says_who_wins_on_which_machine():
    found = compare(runs(("big", "small", None)), parents=PARENTS)
    decode = next(each for each in sweep_maps(found) if each.metric is DECODE)
    assert decode.methods == ("kv-cache", "int8")
    assert [label for label, _ in decode.rows] == ["big", "small", "local"]
    assert [[cell.sure for cell in cells] for _, cells in decode.rows[:2]] == [[False, True]] * 2
    assert decode.rows[2][1][1].text == "–"
    shown = machine_map_lines(found)
    assert shown[0][0] == "decode speed"
    assert shown[-1] == host_lines(found)
    assert machine_map_lines(compare(runs(("big",)), parents=PARENTS)) == []


SWEEP = Sweep(prompt_tokens=(64, 256, 1024), max_new_tokens=(4,), n_threads=(2,))
SWEPT_SPEEDS = {
    "big": {"kv-cache": lambda n: 6400 / n, "int8": lambda _: 12.5},
    "small": {"kv-cache": lambda _: 5.0, "int8": lambda _: 2.0},
}


def swept(speeds=SWEPT_SPEEDS):
    records = [
        each
        for host, methods in speeds.items()
        for shape in SWEEP.shapes()
        for method, speed in methods.items()
        for each in trials(on_host(method, host), speed(shape.prompt_tokens), 5, **fields(shape))
    ]
    run = MeasuredRun("s", tuple(dict.fromkeys(record.method for record in records)), tuple(records))
    described = {host: HostState(header().machine, 9, PRICES[host]) for host in speeds}
    return compare(parts_of(run, described, SWEEP.shapes()), parents=PARENTS)


def test_a_sweep_on_two_machines_has_a_cell_for_each_shape_on_each():
    found = swept()
    assert [(run.host, run.shape.prompt_tokens) for run in found.runs] == [
        *(("big", n) for n in SWEEP.prompt_tokens),
        *(("small", n) for n in SWEEP.prompt_tokens),
    ]
    assert {run.n_threads for run in found.runs} == {2}
    decode = next(each for each in sweep_maps(found) if each.metric is DECODE)
    assert [label for label, _ in decode.rows][::3] == ["big · prompt 64", "small · prompt 64"]
    assert all(len(run.trials) == 10 for run in found.runs)


def test_what_changes_along_an_axis_is_told_of_the_machine_where_it_does():
    told = [sentence for sentence in sweep_sentences(swept()) if "decodes fastest" in sentence]
    crossing, throughout = told
    assert crossing.startswith("up to about 5")
    assert crossing.endswith("kv-cache decodes fastest, beyond it int8 (between 256 and 1024) · on big")
    assert throughout == "64 to 1024 tokens of prompt: kv-cache decodes fastest throughout · on small"


def test_of_a_sweep_the_machine_to_take_is_told_shape_by_shape():
    lines = host_lines(swept())
    fastest = [line.partition(":")[0::2] for line in lines if ": fastest: " in line]
    assert [shape for shape, _ in fastest] == ["prompt 64", "prompt 256", "prompt 1024"]
    assert fastest[0][1].startswith(" fastest: kv-cache on big: ")
    assert fastest[2][1].startswith(" fastest: int8 on big: ")
    assert any(line.startswith("prompt 1024: cheapest: kv-cache on small: ") for line in lines)
    assert sum("closeness to the reference" in line for line in lines) <= 1
    assert host_lines(swept({"big": SWEPT_SPEEDS["big"]})) == []


def test_exports_of_machines_hold_who_wins_where():
    for found, label in ((compare(runs(), parents=PARENTS), "small"), (swept(), "small · prompt 256")):
        assert label in as_markdown(found)
        assert "fastest: " in as_markdown(found)
        page = as_html(found)
        assert "Which machine" in page
        assert label in page
        assert label in as_svg(found)
    table = list(csv.DictReader(io.StringIO(as_csv(compare(runs(), parents=PARENTS)))))
    assert {row["method"]: row["best_decode_tps_sure"] for row in table} == {"kv-cache": "0", "int8": "1"}
