import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.permissions import obey_modes
from tuibench.core.machine.validity import Lamp
from tuibench.machine import conditions
from tuibench.machine import fingerprint as machine
from tuibench.machine.conditions import read_conditions
from tuibench.machine.effective_cpus import EffectiveCpus
from tuibench.measure.run import watch as validity
from tuibench.measure.run.watch import Watch

CPU = min(os.sched_getaffinity(0))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def laptop(tmp_path):
    """A process and a device file system with everything that a reading knows of."""
    proc, sys_ = tmp_path / "proc", tmp_path / "sys"
    others = "".join(f"cpu{cpu} 0 0 0 0 0 0 0 0 0 0\n" for cpu in os.sched_getaffinity(0) if cpu != CPU)
    write(proc / "stat", f"cpu 9 9 9 9 9 9 9 9 9 9\ncpu{CPU} 100 20 30 999 999 5 6 7 0 0\n{others}intr 1 2 3")
    fields = ["S", *"1234567", "8", "77", "10", "40", "30", "2", "1", *("0" * 10)]  # majflt is 77
    fields[9] = "77"
    write(proc / "42" / "stat", f"42 (a (odd) name) {' '.join(fields)}")
    write(proc / "vmstat", "pgpgin 5\npswpin 11\npswpout 22\npswpin_zero 99")
    write(sys_ / "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "3")
    write(sys_ / "devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "4")
    write(sys_ / f"devices/system/cpu/cpu{CPU}/cpufreq/scaling_cur_freq", "2500000")
    write(sys_ / "class/power_supply/AC/type", "Mains")
    write(sys_ / "class/power_supply/AC/online", "0")
    write(sys_ / "class/power_supply/BAT0/type", "Battery")
    for zone, name, energy in (("0", "package-0", 10), ("0:0", "core", 5), ("1", "package-1", 20), ("2", "psys", 50)):
        write(sys_ / f"class/powercap/intel-rapl:{zone}/name", name)
        write(sys_ / f"class/powercap/intel-rapl:{zone}/energy_uj", energy)
        write(sys_ / f"class/powercap/intel-rapl:{zone}/max_energy_range_uj", 1000)
    return {"proc": proc, "sys": sys_}


def test_a_reading_takes_every_counter_from_its_file(laptop):
    found = read_conditions(42, **laptop)
    tick_ns = found.tick_ns
    assert found.busy_ns == 161 * tick_ns
    assert found.stolen_ns == 7 * tick_ns
    assert found.worker_ns == (40 + 30 + 2 + 1) * tick_ns
    assert found.worker_major_faults == 77
    assert found.n_swapped_pages == 33
    assert found.n_hot == 7
    assert found.clock_khz == 2_500_000
    assert found.on_battery is True
    assert (found.energy_uj, found.energy_range_uj) == (30, 1000)


def test_a_quota_below_the_mask_is_what_may_be_used(monkeypatch, laptop):
    monkeypatch.setattr(conditions, "effective_cpus", lambda: EffectiveCpus(64, 64, 32, 2.0))
    assert read_conditions(42, **laptop).capacity_cpus == 2
    monkeypatch.setattr(conditions, "effective_cpus", lambda: EffectiveCpus(64, 2, 2, 2.5))
    assert read_conditions(42, **laptop).capacity_cpus is None


def test_a_session_keeps_the_quota_that_shares_are_of(monkeypatch):
    monkeypatch.setattr(machine.cpus, "effective_cpus", lambda: EffectiveCpus(64, 64, 32, 2.5))
    header = machine.machine_header()
    assert (header.n_cpus_effective, header.capacity_cpus) == (2, 2.5)
    monkeypatch.setattr(machine.cpus, "effective_cpus", lambda: EffectiveCpus(64, 4, 4, 8.0))
    assert machine.machine_header().capacity_cpus == 4


def test_a_machine_that_tells_nothing_gives_none(tmp_path):
    found = read_conditions(42, proc=tmp_path / "no-proc", sys=tmp_path / "no-sys")
    assert {
        found.busy_ns, found.stolen_ns, found.worker_ns, found.worker_major_faults, found.n_swapped_pages, found.n_hot,
        found.clock_khz, found.on_battery, found.energy_uj,
    } == {None}  # fmt: skip


def test_energy_that_only_root_may_read_is_not_available(laptop):
    program = (
        "import sys; from pathlib import Path; from tuibench.machine.conditions import read_conditions\n"
        "found = read_conditions(42, proc=Path(sys.argv[1]), sys=Path(sys.argv[2]))\n"
        "print(found.n_hot, found.energy_uj)"
    )
    for mode, answer in ((0o400, "7 30\n"), (0, "7 None\n")):
        (laptop["sys"] / "class/powercap/intel-rapl:0/energy_uj").chmod(mode)
        command = [sys.executable, "-c", program, *laptop.values()]
        assert subprocess.check_output(command, preexec_fn=obey_modes, text=True) == answer


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_this_machine_can_be_read():
    first, second = read_conditions(os.getpid()), read_conditions(os.getpid())
    assert first.monotonic_ns < second.monotonic_ns
    assert first.busy_ns <= second.busy_ns
    assert first.worker_ns is not None


class Readings:
    """Conditions as scripted: each reading is one second later, with what changed."""

    def __init__(self, *changes):
        self._changes = list(changes)
        self._now = replace(read_conditions(), clock_khz=None, busy_ns=None)

    def __call__(self, _pid):
        self._now = replace(
            self._now,
            monotonic_ns=self._now.monotonic_ns + 10**9,
            boot_ns=self._now.boot_ns + 10**9,
            wall_ns=self._now.wall_ns + 10**9,
            **self._changes.pop(0),
        )
        return self._now


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(validity, "effective_cpus", lambda: EffectiveCpus(2, 2, 2, None))


def watched(watch):
    return watch.begin(42).end()


@pytest.mark.usefixtures("two_cores")
def test_a_clock_that_was_faster_earlier_in_the_run_is_a_doubt():
    idle, fast, slow = {"clock_khz": 800_000}, {"clock_khz": 3_000_000}, {"clock_khz": 2_000_000}
    watch = Watch(2, Readings(idle, fast, idle, slow))
    assert watched(watch).lamp is Lamp.GREEN  # an idle core's clock is no reference
    second = watched(watch)
    assert second.lamp is Lamp.RED
    assert "2.00 GHz, 3.00 before" in second.reasons[0]


@pytest.mark.usefixtures("two_cores")
def test_the_worst_reason_comes_first_and_energy_is_kept():
    start = {"n_hot": 1, "n_throttled": 0, "energy_uj": 10}
    watch = Watch(2, Readings(start, {"n_hot": 2, "n_throttled": 9, "energy_uj": 25}))
    found = watched(watch)
    assert found.lamp is Lamp.RED
    assert ["quota" in found.reasons[0], "heat" in found.reasons[1]] == [True, True]
    assert found.energy_uj == 15


@pytest.mark.usefixtures("two_cores")
def test_too_many_threads_are_a_doubt_about_every_trial_even_a_failed_one():
    watch = Watch(3, Readings({}, {}))
    assert watch.give_up().reasons == ("3 threads on 2 usable CPUs",)
    assert watch.give_up().lamp is None
    assert watched(watch).lamp is Lamp.RED
