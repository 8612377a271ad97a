from dataclasses import replace

import msgspec
import pytest

from tests.scripted import token_stream
from tuibench.core.machine.validity import Conditions, doubts_between, energy_uj, others_share, without_pause
from tuibench.core.run.events import TokenEmitted, TurnBegan, TurnEnded
from tuibench.core.run.trial_state import TrialState, fold_trial


def folded(events):
    state = TrialState("m", 0, warmup=False, n_expected=4)
    for event in events:
        state = fold_trial(state, event)
    return state


def in_turns(events, pause_ns):
    """The same events with a pause after every token, from 3 ns after it on."""
    late_ns = 0
    for event in events:
        yield msgspec.structs.replace(event, at_ns=event.at_ns + late_ns)
        if isinstance(event, TokenEmitted):
            yield TurnEnded(at_ns=event.at_ns + late_ns + 3)
            late_ns += pause_ns
            yield TurnBegan(at_ns=event.at_ns + late_ns + 3)


def test_time_that_a_trial_waited_for_its_turn_belongs_to_no_token():
    stamps = [50, 70, 95, 130]
    whole, turns = folded(token_stream(stamps)), folded(in_turns(token_stream(stamps), 1_000))
    assert turns.step_ns() == whole.step_ns() == [20, 25, 35]
    assert turns.ttft_ns == whole.ttft_ns == 50
    assert turns.decode_tps == whole.decode_tps
    assert turns.waited_ns == 4_000


def reading(at_ns, **counters):
    return Conditions(monotonic_ns=at_ns, boot_ns=at_ns, wall_ns=at_ns, n_cpus=2, tick_ns=1, **counters)


def test_what_others_do_in_a_pause_is_not_a_disturbance():
    second = 1_000_000_000
    before = reading(0, busy_ns=0, worker_ns=0)
    paused = reading(second, busy_ns=2 * second, worker_ns=2 * second)
    resumed = reading(5 * second, busy_ns=9 * second, worker_ns=2 * second)
    after = reading(6 * second, busy_ns=11 * second, worker_ns=4 * second)
    assert others_share(before, after) > 0.4
    moved = without_pause(before, paused, resumed)
    assert others_share(moved, after) == pytest.approx(0, abs=1e-6)
    assert after.monotonic_ns - moved.monotonic_ns == 2 * second
    assert not doubts_between(moved, after)


@pytest.mark.parametrize("start", [10, 90])
def test_energy_of_a_pause_is_taken_out_even_where_the_counter_wraps(start):
    def at(used):
        return replace(reading(0), energy_uj=(start + used) % 100, energy_range_uj=100)

    assert energy_uj(without_pause(at(0), at(5), at(25)), at(32)) == 12
