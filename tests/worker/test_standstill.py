"""A process's account of having stood still, with a scripted kernel and clock; real stops are in `measure`."""

import threading

import pytest

from tuibench.worker import stall_detector as standstill
from tuibench.worker.stall_detector import StallDetector

S = 1_000_000_000
MAIN, BEAT, POOL = "1", str(threading.get_native_id()), "3"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Return what lets time pass: seconds, and what each thread computed and waited of them."""
    clock_ns, accounts = 0, {MAIN: [0, 0], BEAT: [0, 0]}

    def write():
        for thread, (computed_ns, waited_ns) in accounts.items():
            (tmp_path / thread).mkdir(exist_ok=True)
            (tmp_path / thread / "schedstat").write_text(f"{computed_ns} {waited_ns} 7\n")

    def passes(seconds, **threads):
        nonlocal clock_ns
        clock_ns += round(seconds * S)
        for name, (computed_s, waited_s) in threads.items():
            account = accounts.setdefault({"main": MAIN, "beat": BEAT, "pool": POOL}[name], [0, 0])
            account[0] += round(computed_s * S)
            account[1] += round(waited_s * S)
        write()

    monkeypatch.setattr(standstill, "perf_counter_ns", lambda: clock_ns)
    write()
    return passes


@pytest.mark.parametrize(
    ("elapsed_s", "threads", "stood_still_s"),
    [
        (1.0, {"main": (1.0, 0)}, 0),
        (4.0, {"main": (1.0, 0), "beat": (0.001, 0)}, 2.999),  # stopped for 3 s, one second after the last look
        (4.0, {"main": (0.2, 0)}, 3.0),  # just before the next look would have been due, or just after this one
        (4.0, {"main": (0.5, 3.5)}, 0),  # a busy machine: it waited for a processor
        (4.0, {"beat": (0, 3.0)}, 0),  # an engine that sleeps on a busy machine
        (1.0, {"main": (0, 0)}, 0),  # an engine that sleeps
        (4.0, {"main": (4.0, 0)}, 0),  # native code held the interpreter
        (4.0, {"main": (0.1, 0), "pool": (3.95, 0)}, 0),  # … and waited for its own pool
        (1.05, {"main": (0, 0)}, 0),  # a timer's delay
    ],
)
def test_what_a_look_finds(machine, tmp_path, elapsed_s, threads, stood_still_s):
    watched = StallDetector(1.0, tmp_path)
    machine(elapsed_s, **threads)
    assert watched.look(woken=True) == pytest.approx(stood_still_s * S, abs=2)


def test_looks_add_up_and_each_counts_from_the_one_before(machine, tmp_path):
    watched = StallDetector(1.0, tmp_path)
    machine(3.0, main=(1.0, 0))
    assert watched.look() == 2 * S
    machine(0.5, main=(0, 0))
    assert watched.look() == 2 * S
    machine(2.5, main=(0, 0))
    assert watched.look() == pytest.approx(3.5 * S)


def test_an_ended_thread_leaves_it_open_what_it_did(machine, tmp_path):
    machine(0, pool=(0, 0))
    watched = StallDetector(1.0, tmp_path)
    machine(9.0, main=(0, 0))
    (tmp_path / POOL / "schedstat").unlink()
    (tmp_path / POOL).rmdir()
    assert watched.look() == 0


def test_a_system_that_does_not_tell_gives_no_number(tmp_path):
    assert StallDetector(1.0, tmp_path / "nowhere").look() is None
