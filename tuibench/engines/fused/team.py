"""Threads that work on one token together and meet at barriers.

Starting threads for each of the 120 matrix products of a token costs 3 µs (OpenMP) to 100 µs (a pool that sleeps) each
time. Here they stay in compiled code, outside Python's lock, and meet at a barrier between two products: 0.3 µs.
Between two tokens they spin for about a millisecond, then park, so that an idle model costs nothing.

State, `int64`, one cache line of 8 elements each: arrivals at the barrier, barriers passed, orders given, the order
itself (a position, a number of tokens), whether to leave at once; then one line per worker: whether it is parked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import entry, kernel

_LINE = 8
_PASSED, _ORDERS, _POSITION, _LEAVE, _PARKED = (_LINE * index for index in range(1, 6))
_N_TOKENS = _POSITION + 1
_SPINS_BEFORE_YIELD = 2000
_PATIENCE = 40_000

_sched_yield = types.ExternalFunction("sched_yield", types.intc())


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def _fetch_add(_context: Any, array: Any, index: Any, value: Any) -> Any:
    """`old = array[index]; array[index] += value`, as one indivisible step."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [arguments[1]]), arguments[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def _load(_context: Any, array: Any, index: Any) -> Any:
    """`array[index]`, read anew from memory; nothing after it is read before it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(builder.gep(data, [arguments[1]]), "acquire", 8)

    return types.int64(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def _load_after_stores(_context: Any, array: Any, index: Any) -> Any:
    """`array[index]`, read after all indivisible steps before it can be seen by others.

    An acquire load may be done before an earlier release store to another place is seen: ARM's `ldapr` (RCpc) is, and
    LLVM takes it for acquire loads where the processor has it. Of two threads that each store and then look for the
    other's store, both could then miss it. A sequentially consistent load is `ldar` there, an ordinary load on x86.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(builder.gep(data, [arguments[1]]), "seq_cst", 8)

    return types.int64(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def _breathe(_context: Any) -> Any:
    """Tell the processor that this is a waiting loop, where it has a word for that."""

    def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        if builder.module.triple.startswith(("x86_64", "i686")):
            function = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


@kernel
def barrier(team: NDArray[np.int64], n_workers: int) -> None:
    """Wait until all workers are here. A worker that waits long lets others have the processor."""
    if n_workers == 1:
        return
    passed = _load(team, _PASSED)
    if _fetch_add(team, 0, 1) == n_workers - 1:
        team[0] = 0
        _fetch_add(team, _PASSED, 1)
        return
    spins = 0
    while _load(team, _PASSED) == passed:
        _breathe()
        spins += 1
        if spins == _SPINS_BEFORE_YIELD:
            _sched_yield()
            spins = 0


@kernel
def share(n_items: int, worker: int, n_workers: int) -> tuple[int, int]:
    """Return the first item of a worker, and the first of the next."""
    return n_items * worker // n_workers, n_items * (worker + 1) // n_workers


@kernel
def wait_for_task(team: NDArray[np.int64], worker: int, seen: int) -> bool:
    """Wait for an order after `seen`; False: there is none, the worker has parked and must leave."""
    waits = 0
    while _load(team, _ORDERS) == seen:
        _breathe()
        waits += 1
        if waits % _SPINS_BEFORE_YIELD == 0:
            _sched_yield()
        if waits >= _PATIENCE or _load(team, _LEAVE) != 0:
            # Parked is said before looking once more, an order given before looking who is parked: one sees the other.
            _fetch_add(team, _PARKED + _LINE * worker, 1)
            if _load_after_stores(team, _ORDERS) == seen:
                return False
            _fetch_add(team, _PARKED + _LINE * worker, -1)
            return True
    return True


@kernel
def task_of(team: NDArray[np.int64]) -> tuple[int, int]:
    """Return the position that the last order named, and its number of tokens."""
    return int(_load(team, _POSITION)), int(_load(team, _N_TOKENS))


@entry
def give_order(team: NDArray[np.int64], position: int, n_tokens: int) -> int:
    """Name a position to work on; return the number of this order."""
    team[_POSITION], team[_N_TOKENS] = position, n_tokens
    return int(_fetch_add(team, _ORDERS, 1)) + 1


@entry
def next_parked(team: NDArray[np.int64], worker: int) -> int:
    """Return the next helper after a worker that must be called to see the order given before; 0: there is none."""
    for helper in range(worker + 1, (team.size - _PARKED) // _LINE):
        if _load_after_stores(team, _PARKED + _LINE * helper) != 0:
            return helper
    return 0


class Team:
    """The calling thread, which is worker 0, and helpers. Work is a compiled function of a kind:

    `work(worker, n_workers, team, seen, *arguments) -> seen`: worker 0 does the one order after `seen`; a helper does
    all, until `wait_for_task` sends it away.
    """

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._state = np.zeros(_PARKED + _LINE * n_workers, np.int64)
        self._state[_PARKED + _LINE :: _LINE] = 1
        self._calls = [threading.Semaphore(0) for _ in range(n_workers)]
        self._returned = threading.Condition()
        self._work: Callable[..., int] | None = None
        self._arguments: tuple[Any, ...] = ()
        self._threads = [
            threading.Thread(target=self._help, args=(worker,), name=f"kernel-{worker}", daemon=True)
            for worker in range(1, n_workers)
        ]
        for thread in self._threads:
            thread.start()

    def set_work(self, work: Callable[..., int] | None, *arguments: Any) -> None:
        """Say what orders mean from now on; waits until no helper is in the old work."""
        self._state[_LEAVE] = 1
        with self._returned:
            self._returned.wait_for(self._state[_PARKED + _LINE :: _LINE].all)
            self._work, self._arguments = work, arguments
        self._state[_LEAVE] = 0

    def submit(self, position: int, n_tokens: int = 1) -> None:
        """Have all workers do the work at a position, and return when it is done."""
        assert self._work is not None  # noqa: S101 - set_work comes first
        number = give_order(self._state, position, n_tokens)
        helper = next_parked(self._state, 0)
        while helper:
            self._calls[helper].release()
            helper = next_parked(self._state, helper)
        self._work(0, self.n_workers, self._state, number - 1, *self._arguments)

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
            if self._work is None:
                return
            parked = _PARKED + _LINE * worker
            if int(self._state[_ORDERS]) == seen:
                continue  # called for an order that it saw before it could park
            self._state[parked] = 0
            seen = self._work(worker, self.n_workers, self._state, seen, *self._arguments)
            with self._returned:
                self._returned.notify_all()
