"""What a team's workers do in compiled code: meet at barriers, wait for orders, give them; see `team`."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import entry, kernel
from tuibench.engines.fused.matrices import LANES
from tuibench.engines.fused.team import LEAVE, LINE, N_TOKENS, ORDERS, PARKED, PASSED, POSITION

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
    passed = _load(team, PASSED)
    if _fetch_add(team, 0, 1) == n_workers - 1:
        team[0] = 0
        _fetch_add(team, PASSED, 1)
        return
    spins = 0
    while _load(team, PASSED) == passed:
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
def panel_share(n_rows: int, worker: int, n_workers: int) -> tuple[int, int, int, int]:
    """Return the first panel of a worker and the first of the next, and the same in rows."""
    first, last = share((n_rows + LANES - 1) // LANES, worker, n_workers)
    return first, last, min(first * LANES, n_rows), min(last * LANES, n_rows)


@kernel
def wait_for_task(team: NDArray[np.int64], worker: int, seen: int) -> bool:
    """Wait for an order after `seen`; False: there is none, the worker has parked and must leave."""
    waits = 0
    while _load(team, ORDERS) == seen:
        _breathe()
        waits += 1
        if waits % _SPINS_BEFORE_YIELD == 0:
            _sched_yield()
        if waits >= _PATIENCE or _load(team, LEAVE) != 0:
            # Parked is said before looking once more, an order given before looking who is parked: one sees the other.
            _fetch_add(team, PARKED + LINE * worker, 1)
            if _load_after_stores(team, ORDERS) == seen:
                return False
            _fetch_add(team, PARKED + LINE * worker, -1)
            return True
    return True


@kernel
def task_of(team: NDArray[np.int64]) -> tuple[int, int]:
    """Return the position that the last order named, and its number of tokens."""
    return int(_load(team, POSITION)), int(_load(team, N_TOKENS))


@entry
def give_order(team: NDArray[np.int64], position: int, n_tokens: int) -> int:
    """Name a position to work on; return the number of this order."""
    team[POSITION], team[N_TOKENS] = position, n_tokens
    return int(_fetch_add(team, ORDERS, 1)) + 1


@entry
def next_parked(team: NDArray[np.int64], worker: int) -> int:
    """Return the next helper after a worker that must be called to see the order given before; 0: there is none."""
    for helper in range(worker + 1, (team.size - PARKED) // LINE):
        if _load_after_stores(team, PARKED + LINE * helper) != 0:
            return helper
    return 0
