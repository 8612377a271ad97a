"""A worker that waits for its turn leaves the processors to the others."""

import hashlib
import threading
import time

from tuibench.machine.cpu_clocks import own_cpu_ns
from tuibench.worker.turns import rest

LONG = bytes(32 << 20)
"""Hashing it takes tens of milliseconds without the interpreter's lock, as a pool's thread spins."""


def test_threads_that_still_compute_are_waited_for():
    """Also between two ticks of the kernel, where the clock of the process knows nothing of them."""
    n_waited = 0
    for _ in range(10):
        thread = threading.Thread(target=lambda: hashlib.sha256(LONG).digest())
        thread.start()
        rest()
        n_waited += not thread.is_alive()
        thread.join()
    assert n_waited >= 3  # on a busy machine, the thread may not run at all between two looks


def test_the_cpu_time_of_another_thread_is_seen_while_it_runs():
    thread = threading.Thread(target=lambda: hashlib.sha256(8 * LONG).digest())
    thread.start()
    unseen_ns = []
    while thread.is_alive():
        mine_ns, process_ns = time.thread_time_ns(), time.process_time_ns()
        all_ns = own_cpu_ns()
        unseen_ns.append(all_ns - process_ns - (time.thread_time_ns() - mine_ns))
        time.sleep(0.001)
    assert max(unseen_ns) > 100_000
