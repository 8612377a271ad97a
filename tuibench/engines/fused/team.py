"""Threads that work on one token together and meet at barriers.

Starting threads for each of the 120 matrix products of a token costs 3 µs (OpenMP) to 100 µs (a pool that sleeps) each
time. Here they stay in compiled code, outside Python's lock, and meet at a barrier between two products: 0.3 µs.
Between two tokens they spin for about a millisecond, then park, so that an idle model costs nothing.

State, `int64`, one cache line of 8 elements each: arrivals at the barrier, barriers passed, orders given, the order
itself (a position, a number of tokens), whether to leave at once; then one line per worker: whether it is parked.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from tuibench.engines.fused.machine_code import Call, Entry, entry

LINE = 8
PASSED, ORDERS, POSITION, LEAVE, PARKED = (LINE * index for index in range(1, 6))
N_TOKENS = POSITION + 1
_SEEN = 3
"""Which argument of work says what order came last."""


class Team:
    """The calling thread, which is worker 0, and helpers. Work is an entry of a kind:

    `work(worker, n_workers, team, seen, *arguments) -> seen`: worker 0 does the one order after `seen`; a helper does
    all, until `wait_for_task` sends it away.
    """

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._state = np.zeros(PARKED + LINE * n_workers, np.int64)
        self._state[PARKED + LINE :: LINE] = 1
        self._calls = [threading.Semaphore(0) for _ in range(n_workers)]
        self._returned = threading.Condition()
        self._work: list[Call] = []
        """For each worker, what it does when it is called; empty once there is nothing more to do."""
        self._order = entry("common", "give_order").bind(self._state, 0, 0)
        self._next_parked = entry("common", "next_parked").bind(self._state, 0)
        self._threads = [
            threading.Thread(target=self._help, args=(worker,), name=f"kernel-{worker}", daemon=True)
            for worker in range(1, n_workers)
        ]
        for thread in self._threads:
            thread.start()

    def set_work(self, work: Entry | None, *arguments: Any) -> None:
        """Say what orders mean from now on; waits until no helper is in the old work."""
        self._state[LEAVE] = 1
        with self._returned:
            self._returned.wait_for(self._state[PARKED + LINE :: LINE].all)
            self._work = [] if work is None else self._calls_of(work, arguments)
        self._state[LEAVE] = 0

    def submit(self, position: int, n_tokens: int = 1) -> None:
        """Have all workers do the work at a position, and return when it is done."""
        assert self._work  # noqa: S101 - set_work comes first
        self._order.records[1].value, self._order.records[2].value = position, n_tokens
        number = self._order()
        self._next_parked.records[1].value = 0
        while helper := self._next_parked():
            self._calls[helper].release()
            self._next_parked.records[1].value = helper
        self._do(0, number - 1)

    def _calls_of(self, work: Entry, arguments: tuple[Any, ...]) -> list[Call]:
        first = work.bind(0, self.n_workers, self._state, 0, *arguments)
        return [first, *(first.with_number(0, worker) for worker in range(1, self.n_workers))]

    def _do(self, worker: int, seen: int) -> int:
        call = self._work[worker]
        call.records[_SEEN].value = seen
        return call()

    def close(self) -> None:
        """End the helpers."""
        self.set_work(None)
        for worker in range(1, self.n_workers):
            self._calls[worker].release()
        for thread in self._threads:
            thread.join()

    def _help(self, worker: int) -> None:
        seen = 0
        while True:
            self._calls[worker].acquire()
            if not self._work:
                return
            parked = PARKED + LINE * worker
            if int(self._state[ORDERS]) == seen:
                continue  # called for an order that it saw before it could park
            self._state[parked] = 0
            seen = self._do(worker, seen)
            with self._returned:
                self._returned.notify_all()
