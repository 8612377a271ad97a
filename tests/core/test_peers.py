"""The ladder's best against that of others' runtimes, and the heading that those stand under."""

import re

import pytest
from msgspec.structs import replace

from tests.measured_runs import quality, trials
from tuibench.cli.result_table import result_lines
from tuibench.core.results.by_host import all_runs
from tuibench.core.results.comparison import compare
from tuibench.core.results.peers import HEADING, peer_sentence
from tuibench.core.run.run_events import RunStarted, TrialEnded
from tuibench.core.run.state import RunState, fold
from tuibench.store.export.html import as_html
from tuibench.store.export.markdown import as_markdown

OTHERS = ("llama-cpp-q8_0", "llama-cpp-q4_0")
SPEEDS = {"kv-cache": 12, "llama-cpp-q8_0": 50, "int8-dynamic": 80, "llama-cpp-q4_0": 90}
KLDS = {"llama-cpp-q8_0": 0.004, "int8-dynamic": 0.005, "llama-cpp-q4_0": 0.4}


def measured(**changes):
    state = fold(RunState(), RunStarted(tuple(SPEEDS), ()))
    for method, tps in {**SPEEDS, **changes}.items():
        for each in trials(method, tps, n=5):
            state = fold(state, TrialEnded(each))
    return state


def scored(state, klds):
    rated = {name: replace(state.methods[name], quality=quality(name, kld)) for name, kld in klds.items()}
    return replace(state, methods=state.methods | rated)


def sentence(state):
    return peer_sentence(compare(all_runs(state), parents={"int8-dynamic": "kv-cache"}), OTHERS)


def test_the_fastest_that_are_close_enough_are_compared():
    found = sentence(scored(measured(), KLDS))
    words = re.fullmatch(r"int8-dynamic is (\S+)× \[(\S+), (\S+)\] llama-cpp-q8_0 at KLD 0.0050 against 0.0040", found)
    low, value, high = (float(words[index]) for index in (2, 1, 3))
    assert value == pytest.approx(80 / 50, rel=0.03)
    assert low <= value <= high


def test_a_faster_peer_is_told_as_such():
    found = sentence(scored(measured(**{"llama-cpp-q8_0": 160}), KLDS))
    assert re.match(r"int8-dynamic is 0\.\d+× \[0\.\d+, 0\.\d+\] llama-cpp-q8_0", found)


@pytest.mark.parametrize("klds", [{}, {"int8-dynamic": 0.005}, {"int8-dynamic": 0.005, "llama-cpp-q8_0": 0.3}])
def test_without_a_close_one_on_either_side_nothing_is_said(klds):
    assert sentence(scored(measured(), klds)) is None


def test_peers_stand_below_the_ladder_under_their_heading():
    lines = result_lines(scored(measured(), KLDS), width=140)
    heading = lines.index(HEADING)
    first = next(index for index, line in enumerate(lines) if line.startswith("method "))
    assert [line.split()[0] for line in lines[first + 1 : heading - 1]] == ["kv-cache", "int8-dynamic"]
    assert [line.split()[0] for line in lines[heading + 1 : heading + 3]] == list(OTHERS)
    assert any(line.startswith("int8-dynamic is 1.") for line in lines)


@pytest.mark.parametrize(
    ("written", "row"), [(as_markdown, r"^\| ([\w-]+[^|]*) \|"), (as_html, r"^<tr><t.[^>]*>([^<]*)")]
)
def test_exports_have_the_heading_too(written, row):
    text = written(compare(all_runs(scored(measured(), KLDS)), parents={})).replace("\\_", "_")
    first = re.findall(row, text, flags=re.MULTILINE)
    at = first.index(HEADING)
    assert [name.split()[0] for name in first[at - 2 : at]] == ["kv-cache", "int8-dynamic"]
    assert first[at + 1 : at + 3] == list(OTHERS)
