from dataclasses import replace

import pytest

from tuibench.core.machine.validity import (
    Conditions,
    Lamp,
    doubts_between,
    energy_uj,
    lamp_of,
    others_share,
    stolen_share,
)

SECOND = 1_000_000_000
BEFORE = Conditions(
    monotonic_ns=100 * SECOND,
    boot_ns=100 * SECOND,
    wall_ns=1_700_000_000 * SECOND,
    n_cpus=2,
    busy_ns=50 * SECOND,
    stolen_ns=0,
    worker_ns=4 * SECOND,
    observer_ns=2 * SECOND,
    n_throttled=7,
    throttled_ns=SECOND,
    n_swapped_pages=1000,
    worker_major_faults=3,
    n_hot=1,
    clock_khz=3_000_000,
    on_battery=False,
    energy_uj=900,
    energy_range_uj=1000,
)


SUSPENDED_NS = BEFORE.boot_ns + 70 * SECOND


def after(seconds=10, *, worker=2.0, observer=0.01, others=0.0, **changes):
    """Return the reading so many seconds later; the worker kept both CPUs busy unless told otherwise."""
    worker_ns, observer_ns = round(worker * seconds * SECOND), round(observer * seconds * SECOND)
    later = replace(
        BEFORE,
        monotonic_ns=BEFORE.monotonic_ns + seconds * SECOND,
        boot_ns=BEFORE.boot_ns + seconds * SECOND,
        wall_ns=BEFORE.wall_ns + seconds * SECOND,
        busy_ns=BEFORE.busy_ns + worker_ns + observer_ns + round(others * seconds * SECOND),
        worker_ns=BEFORE.worker_ns + worker_ns,
        observer_ns=BEFORE.observer_ns + observer_ns,
    )
    return replace(later, **changes)


def on_64_cpus(later, quota=2):
    """Return two readings of a machine of which a control group may use as much as `quota`."""
    return replace(BEFORE, n_cpus=64, capacity_cpus=quota), replace(later, n_cpus=64, capacity_cpus=quota)


def test_neighbours_on_cpus_that_a_quota_keeps_from_us_take_nothing_from_us():
    assert doubts_between(*on_64_cpus(after(others=30))) == ()


def test_neighbours_that_leave_less_than_our_quota_take_the_rest():
    before, later = on_64_cpus(after(others=63))
    assert others_share(before, later) == pytest.approx((63 - 62 - 0.064) / 2)  # 64 CPUs, a tick of 10 ms each in 10 s
    assert lamp_of(doubts_between(before, later)) is Lamp.RED


@pytest.mark.parametrize("quota", [2, 0.5])
def test_the_observer_is_measured_by_the_cpus_that_are_ours(quota):
    (doubt,) = doubts_between(*on_64_cpus(after(observer=0.05 * quota), quota))
    assert (doubt.lamp, doubt.reason) == (Lamp.RED, "dashboard and samplers used 5.0 % of the CPU")


def test_what_was_stolen_is_shared_out_by_the_time_that_was_wanted():
    alone = stolen_share(*on_64_cpus(after(worker=1.7, stolen_ns=2 * SECOND)))
    assert alone == pytest.approx(0.1)  # of 2 CPUs in 10 s
    beside_30 = stolen_share(*on_64_cpus(after(worker=1.7, others=30, stolen_ns=32 * SECOND)))
    assert beside_30 == pytest.approx(32 / (317.1 + 32))


def test_an_undisturbed_trial_has_a_green_lamp():
    assert doubts_between(BEFORE, after()) == ()
    assert lamp_of(()) is Lamp.GREEN


@pytest.mark.parametrize(
    ("later", "lamp", "reason"),
    [
        (after(others=0.2), Lamp.YELLOW, "other processes used 10 % of the CPU"),
        (after(worker=1.0, others=0.682), Lamp.RED, "other processes used 34 % of the CPU"),
        (after(stolen_ns=SECOND * 6 // 10), Lamp.YELLOW, "CPU time stolen by the hypervisor: 3.0 %"),
        (after(stolen_ns=2 * SECOND), Lamp.RED, "CPU time stolen by the hypervisor: 10.0 %"),
        (after(observer=0.06), Lamp.YELLOW, "dashboard and samplers used 3.0 % of the CPU"),
        (after(n_throttled=8, throttled_ns=SECOND + 42_000_000), Lamp.YELLOW, "held threads back: 1 (42 ms in all)"),
        (after(n_throttled=20), Lamp.RED, "held threads back: 13"),
        (after(clock_khz=2_550_000), Lamp.YELLOW, "the clock rate fell by 15 % (2.55 GHz, 3.00 before)"),
        (after(clock_khz=2_000_000), Lamp.RED, "the clock rate fell by 33 %"),
        (after(n_swapped_pages=1100), Lamp.YELLOW, "pages that the machine swapped: 100"),
        (after(n_swapped_pages=9000), Lamp.RED, "pages that the machine swapped: 8000"),
        (after(worker_major_faults=5), Lamp.YELLOW, "waits of the worker for the disk (major page faults): 2"),
        (after(n_hot=3), Lamp.YELLOW, "because of heat: 2"),
        (after(boot_ns=SUSPENDED_NS, wall_ns=BEFORE.wall_ns + 70 * SECOND), Lamp.RED, "suspended for 60.0 s"),
        (after(wall_ns=BEFORE.wall_ns - 3600 * SECOND), Lamp.YELLOW, "the wall clock was set by 3610.0 s"),
        (after(on_battery=True), Lamp.RED, "the power source changed to battery"),
    ],
)  # fmt: skip
def test_a_disturbance_is_told_with_its_number(later, lamp, reason):
    (doubt,) = doubts_between(BEFORE, later)
    assert doubt.lamp is lamp
    assert reason in doubt.reason


def test_battery_all_along_is_a_doubt_and_no_change():
    (doubt,) = doubts_between(replace(BEFORE, on_battery=True), after(on_battery=True))
    assert (doubt.lamp, doubt.reason) == (Lamp.YELLOW, "running on battery")


def test_the_grain_of_the_counters_is_nobodys_work():
    grain = 2 * BEFORE.tick_ns
    short = after(1, others=0.0)
    assert others_share(BEFORE, replace(short, busy_ns=short.busy_ns + grain)) == 0
    assert others_share(BEFORE, replace(short, busy_ns=short.busy_ns - grain)) == 0


def test_what_cannot_be_read_raises_no_doubt():
    names = (
        "boot_ns", "busy_ns", "stolen_ns", "worker_ns", "n_throttled", "throttled_ns", "n_swapped_pages",
        "worker_major_faults", "n_hot", "clock_khz", "on_battery", "energy_uj",
    )  # fmt: skip
    unread = dict.fromkeys(names)
    assert doubts_between(replace(BEFORE, **unread), after(**unread)) == ()
    assert doubts_between(BEFORE, after(**unread)) == ()
    assert energy_uj(BEFORE, after(**unread)) is None


def test_two_readings_at_the_same_moment_judge_nothing():
    assert doubts_between(BEFORE, BEFORE) == ()


def test_energy_survives_the_counters_wrap():
    assert energy_uj(BEFORE, after(energy_uj=950)) == 50
    assert energy_uj(BEFORE, after(energy_uj=100)) == 200


def test_the_worst_reason_decides_the_lamp():
    doubts = doubts_between(BEFORE, after(n_hot=2, n_throttled=30))
    assert len(doubts) == 2
    assert lamp_of(doubts) is Lamp.RED
    assert lamp_of(doubts_between(BEFORE, after(n_hot=2))) is Lamp.YELLOW
