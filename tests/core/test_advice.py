from dataclasses import replace

import msgspec
import pytest

from tests.core.test_validity import BEFORE, after
from tests.scripted import header
from tuibench.core.machine.advice import Surroundings, consequences, problems
from tuibench.core.machine.validity import Lamp

MACHINE = header().machine
FINE = Surroundings(
    quota_cpus=None,
    memory_free_bytes=16 << 30,
    cache_writable=True,
    disk_free_bytes=100 << 30,
    someone_measures=False,
    unseen_measurements=None,
    busy_processes=(),
    missing_libraries=(),
)


def test_a_quiet_machine_has_no_problems():
    assert problems(MACHINE, FINE, BEFORE, after()) == ()


@pytest.mark.parametrize(
    ("surroundings", "lamp", "what", "remedy"),
    [
        ({"quota_cpus": 0.5}, Lamp.RED, "0.5 CPUs", "--cpus"),
        ({"quota_cpus": 1.5}, Lamp.YELLOW, "1.5 CPUs", "--threads 1"),
        ({"memory_free_bytes": 1 << 30}, Lamp.YELLOW, "1.00 GiB of memory", "close something"),
        ({"cache_writable": False}, Lamp.RED, "cannot be written", "TUIBENCH_CACHE"),
        ({"disk_free_bytes": 1 << 30}, Lamp.YELLOW, "1.00 GiB are free", "models rm"),
        ({"someone_measures": True}, Lamp.YELLOW, "another tuibench", "wait"),
        ({"unseen_measurements": "not noticed: share a file"}, Lamp.YELLOW, "not noticed", "share a file"),
        ({"missing_libraries": ("numba",)}, Lamp.RED, "numba is not installed", "pip install numba"),
    ],
)
def test_each_problem_comes_with_a_remedy(surroundings, lamp, what, remedy):
    (problem,) = problems(MACHINE, replace(FINE, **surroundings), BEFORE, after())
    assert problem.lamp is lamp
    assert what in problem.what
    assert remedy in problem.remedy


def test_a_whole_quota_is_no_problem():
    assert problems(MACHINE, replace(FINE, quota_cpus=2.0), BEFORE, after()) == ()


@pytest.mark.parametrize(
    ("governor", "n_problems"), [("performance", 0), ("powersave", 1), ("performance, schedutil", 1)]
)
def test_a_governor_that_follows_the_load_is_told(governor, n_problems):
    machine = msgspec.structs.replace(MACHINE, governor=governor)
    assert len(problems(machine, FINE, BEFORE, after())) == n_problems


def test_the_worst_comes_first_and_busy_processes_are_named():
    surroundings = replace(FINE, someone_measures=True, busy_processes=("cc1plus 99%",))
    first, second = problems(MACHINE, surroundings, BEFORE, after(worker=0, others=1.0))
    assert (first.lamp, second.lamp) == (Lamp.RED, Lamp.YELLOW)
    assert "cc1plus 99%" in first.remedy


@pytest.mark.parametrize(
    ("isa", "words"),
    [
        (("avx2", "avx512f", "avx512_vnni"), "cannot saturate"),
        (("avx2",), "no VNNI"),
        (("avx2", "amx_int8"), "tiles"),
        (("avx",), "no AVX2"),
        (("asimd", "asimddp", "i8mm"), "cannot saturate"),
    ],
)
def test_instruction_sets_are_explained(isa, words):
    assert words in " ".join(consequences(msgspec.structs.replace(MACHINE, isa=isa)))
