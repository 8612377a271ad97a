from dataclasses import replace

import pytest

from tests.measured_runs import PARENTS, measured, quality, trials
from tests.scripted import header
from tuibench.core.results.by_host import split_by_host
from tuibench.core.results.comparison import compare
from tuibench.core.results.host_verdict import host_choices, host_lines, host_rows
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.run.host import on_host
from tuibench.core.run.state import HostState

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


def test_equal_machines_are_not_told_apart():
    big, small = runs()
    twin = replace(small, trials=big.trials)
    (fastest, *_) = host_lines(compare([big, twin], parents=PARENTS))
    assert fastest.endswith("(no difference)")


def test_speeds_stand_by_method_and_machine():
    table = host_rows(compare(runs(("big", "small", None)), parents=PARENTS))
    assert table[0] == ("decode, tok/s", "big", "small", "local")
    assert [line[0] for line in table[1:]] == ["kv-cache", "int8"]
    assert table[2][3] == "–"
