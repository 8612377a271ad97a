import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from tests.permissions import obey_modes
from tuibench.core.machine.effective_cpus import EffectiveCpus
from tuibench.core.machine.validity import Lamp
from tuibench.core.run.events import (
    ConditionsRead,
    FinishReason,
    MachineTold,
    TrialAccepted,
    TrialFinished,
    TurnBegan,
    TurnEnded,
)
from tuibench.machine import conditions
from tuibench.machine import fingerprint as machine
from tuibench.machine.conditions import read_conditions
from tuibench.machine.cpu_clocks import cpu_ns
from tuibench.measure.run.watch import Watch

TWO_CORES = EffectiveCpus(2, 2, 2, None)
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


def test_the_time_of_another_process_is_what_the_kernel_counts_of_it():
    """All threads of it, to the nanosecond; `/proc` counts the same in hundredths of a second."""
    burn = "import threading\nfor _ in range(2): threading.Thread(target=lambda: sum(range(3_000_000))).start()"
    with subprocess.Popen([sys.executable, "-c", f"{burn}\ninput()"], stdin=subprocess.PIPE) as child:
        counted = psutil.Process(child.pid)
        while len(counted.threads()) > 1 or sum(counted.cpu_times()[:2]) < 0.05:
            pass
        assert cpu_ns(child.pid) / 1e9 == pytest.approx(sum(counted.cpu_times()[:2]), abs=0.025)
    assert cpu_ns(child.pid) == 0
    assert read_conditions(observer_pid=os.getppid()).observer_ns == pytest.approx(cpu_ns(os.getppid()), rel=0.5)


class Worker:
    """Says what it sees, as scripted: each reading of its conditions is one second later, with what changed."""

    def __init__(self, n_threads, cpus=TWO_CORES):
        self.watch = Watch(n_threads)
        self.watch.hear(MachineTold(at_ns=0, machine=machine.machine_header(), cpus=cpus))
        self._now = replace(read_conditions(), clock_khz=None, busy_ns=None, n_hot=None, energy_uj=None)

    def reading(self, **changes):
        self._now = replace(
            self._now,
            monotonic_ns=self._now.monotonic_ns + 10**9,
            boot_ns=self._now.boot_ns + 10**9,
            wall_ns=self._now.wall_ns + 10**9,
            **changes,
        )
        return ConditionsRead(at_ns=0, conditions=self._now)

    def trial(self, before, after, *turns):
        trial = self.watch.begin()
        told = [self.reading(**before), TrialAccepted(at_ns=0)]
        for paused, resumed in turns:
            told += [self.reading(**paused), TurnEnded(at_ns=0), self.reading(**resumed), TurnBegan(at_ns=0)]
        for event in (*told, self.reading(**after), TrialFinished(at_ns=0, finish_reason=FinishReason.LENGTH)):
            trial.hear(event)
        return trial.end()


def test_a_clock_that_was_faster_earlier_in_the_run_is_a_doubt():
    worker = Worker(2)
    idle = {"clock_khz": 800_000}
    assert worker.trial(idle, {"clock_khz": 3_000_000}).lamp is Lamp.GREEN  # an idle core's clock is no reference
    second = worker.trial(idle, {"clock_khz": 2_000_000})
    assert second.lamp is Lamp.RED
    assert "2.00 GHz, 3.00 before" in second.reasons[0]


def test_the_worst_reason_comes_first_and_energy_is_kept():
    start = {"n_hot": 1, "n_throttled": 0, "energy_uj": 10}
    found = Worker(2).trial(start, {"n_hot": 2, "n_throttled": 9, "energy_uj": 25})
    assert found.lamp is Lamp.RED
    assert ["quota" in found.reasons[0], "heat" in found.reasons[1]] == [True, True]
    assert found.energy_uj == 15


def test_what_happens_in_the_turns_of_others_is_theirs():
    others = ({"n_hot": 1}, {"n_hot": 9})
    assert Worker(2).trial({"n_hot": 1}, {"n_hot": 9}, others).lamp is Lamp.GREEN
    assert Worker(2).trial({"n_hot": 1}, {"n_hot": 10}, others).reasons == (
        "times the processor slowed down because of heat: 1",
    )


def test_too_many_threads_are_a_doubt_about_every_trial_even_a_failed_one():
    worker = Worker(3)
    assert worker.watch.give_up().reasons == ("3 threads on 2 usable CPUs",)
    assert worker.watch.give_up().lamp is None
    assert worker.trial({}, {}).lamp is Lamp.RED


def test_a_worker_that_tells_no_conditions_has_no_lamp():
    trial = Watch(1).begin()
    for event in (TrialAccepted(at_ns=0), TrialFinished(at_ns=0, finish_reason=FinishReason.LENGTH)):
        trial.hear(event)
    assert trial.end().lamp is None
