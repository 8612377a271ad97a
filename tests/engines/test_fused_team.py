"""What the compiler makes of the team's indivisible steps on other processors than this one."""

import re

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest

from tuibench.engines.fused import compiler
from tuibench.engines.fused.compiler import kernel
from tuibench.engines.fused.kernels import team

X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
STATE = np.ones(64, np.int64)
PARKING = (team.wait_for_task, (STATE, 1, 0))
CALLING = (team.next_parked, (STATE, 0))


@kernel
def _acquire(state, index):
    return team._load(state, index)


@pytest.fixture(scope="module", autouse=True)
def _all_targets():
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def instructions(function, arguments, triple, features=""):
    """Return the words for instructions in a compiled function, as another processor would run it."""
    # A kernel is compiled as a part of others; an entry that was read from the disk has nothing to look at.
    compiled_here = numba.njit(**compiler.OPTIONS)(function.py_func)
    compiled_here(*arguments)
    (text,) = compiled_here.inspect_llvm().values()
    text = re.sub(r"^target (triple|datalayout) = .*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^.*llvm\.x86\.sse2\.pause.*$", "", text, flags=re.MULTILINE)  # only x86 has a word for that
    module = llvm.parse_assembly(text)
    module.triple = triple
    machine = llvm.Target.from_triple(triple).create_target_machine(features=features, opt=3)
    # What is called from Python comes after it, and only hands its arguments on.
    compiled, _, _ = machine.emit_assembly(module).partition(".Lfunc_end0:")
    return re.findall(r"^\t([a-z]\w*)", compiled, flags=re.MULTILINE)


def ordered(found):
    """Return those that other threads' memory is about, without the loading half of a pair that stores."""
    return [word for word in found if word in {"ldapr", "ldar", "ldaddal", "stlxr"}]


def test_an_acquire_load_may_be_done_early_on_arm():
    """Else the tests below would say nothing."""
    assert ordered(instructions(_acquire, (STATE, 0), ARM, "+rcpc")) == ["ldapr"]


@pytest.mark.parametrize(("features", "store"), [("+rcpc", "stlxr"), ("+rcpc,+lse", "ldaddal")])
def test_a_helper_looks_for_an_order_after_its_parking_is_seen(features, store):
    found = ordered(instructions(*PARKING, ARM, features))
    assert found[found.index(store) + 1] == "ldar"


def test_who_gives_an_order_looks_for_the_parked_after_the_order_is_seen():
    assert ordered(instructions(*CALLING, ARM, "+rcpc")) == ["ldar"]


@pytest.mark.parametrize("function", [PARKING, CALLING])
def test_x86_needs_no_fence_for_it(function):
    found = instructions(*function, X86)
    assert "mov" in " ".join(found)
    assert not {"mfence", "xchg", "xchgq"} & set(found)
