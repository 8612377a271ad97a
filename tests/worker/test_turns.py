"""A worker that waits for its turn leaves the processors to the others."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tuibench.machine.cpu_clocks import own_cpu_ns
from tuibench.worker.turns import rest

LONG = bytes(32 << 20)
"""Hashing it takes tens of milliseconds without the interpreter's lock, as a pool's thread spins."""


@pytest.fixture
def elsewhere() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    """Start a thread on another CPU than the one that the test then runs on."""
    cpus = os.sched_getaffinity(0)
    if len(cpus) < 2:
        pytest.skip("with one CPU, no thread computes while another looks")
    mine, other, *_ = sorted(cpus)

    def start(compute: Callable[[], object]) -> threading.Thread:
        def pinned() -> None:
            os.sched_setaffinity(0, {other})  # of this thread alone
            compute()

        thread = threading.Thread(target=pinned)
        thread.start()
        return thread

    os.sched_setaffinity(0, {mine})
    yield start
    os.sched_setaffinity(0, cpus)


def test_threads_that_still_compute_are_waited_for(elsewhere):
    """Also between two ticks of the kernel, where the clock of the process knows nothing of them."""
    n_waited = 0
    for _ in range(200):  # on a busy machine, the thread may not run at all between two looks
        thread = elsewhere(lambda: hashlib.sha256(LONG).digest())
        rest()
        n_waited += not thread.is_alive()
        thread.join()
        if n_waited == 5:
            return
    pytest.fail(f"waited for {n_waited} of 200 threads")


def test_the_cpu_time_of_another_thread_is_seen_while_it_runs(elsewhere):
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            hashlib.sha256(LONG).digest()

    thread = elsewhere(compute)
    n_looks = n_more_than_the_process_knew = 0
    until_s = time.monotonic() + 60
    while n_looks < 200 and time.monotonic() < until_s:
        time.sleep(0.001)
        began_ns, mine_ns, process_ns = time.perf_counter_ns(), time.thread_time_ns(), time.process_time_ns()
        all_ns = own_cpu_ns()
        if time.perf_counter_ns() - began_ns > 100_000:
            continue  # interrupted: the kernel may have counted meanwhile
        n_looks += 1
        n_more_than_the_process_knew += all_ns - process_ns - (time.thread_time_ns() - mine_ns) > 150_000
    stop.set()
    thread.join()
    # Nearly each look on a quiet machine; 2 in 100 at most, where a tick comes between, if no thread's clock is asked.
    assert n_more_than_the_process_knew >= 0.1 * n_looks > 0
