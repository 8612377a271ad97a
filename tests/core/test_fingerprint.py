import msgspec
import pytest

from tests.scripted import header
from tuibench.core.fingerprint import differences

MACHINE = header().machine


def changed(**changes):
    return msgspec.structs.replace(MACHINE, **changes)


def test_a_machine_does_not_differ_from_itself():
    assert differences(MACHINE, MACHINE) == ()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"cpu": "Other CPU"}, "CPU"),
        ({"n_cpus_effective": 1}, "usable CPUs"),
        ({"memory_bytes": 8 << 30}, "memory"),
        ({"libraries": {"torch": "2.14.0"}}, "torch"),
    ],
)
def test_what_decides_the_speed_matters(changes, what):
    (found,) = differences(MACHINE, changed(**changes))
    assert (found.what, found.matters) == (what, True)


def test_a_kernel_of_another_day_is_told_after_what_matters():
    found = differences(MACHINE, changed(kernel="Linux 7", cpu="Other CPU"))
    assert [(difference.what, difference.matters) for difference in found] == [("CPU", True), ("kernel", False)]


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_bytes": MACHINE.memory_bytes * 102 // 100},
        {"caches": {"L3": 1 << 20}},
        {"isa": ("avx2",)},
        {"governor": "performance"},
        {"libraries": {}},
        {"read_bytes_per_s": 10**10},
    ],
)
def test_what_only_one_side_knows_and_what_is_as_good_as_equal_is_no_difference(changes):
    assert differences(MACHINE, changed(**changes)) == ()


def test_bandwidth_differs_only_beyond_what_measurements_scatter():
    ours = changed(read_bytes_per_s=20_000_000_000)
    assert differences(ours, changed(read_bytes_per_s=24_000_000_000)) == ()
    (found,) = differences(ours, changed(read_bytes_per_s=30_000_000_000))
    assert str(found) == "read bandwidth: 20.0 GB/s against 30.0 GB/s"


def test_flags_that_one_side_did_not_record_are_no_difference():
    assert differences(changed(isa=("avx2", "fma")), changed(isa=("avx2",))) == ()
    (found,) = differences(changed(isa=("avx2", "fma")), changed(isa=("avx2", "avx512f")))
    assert found.what == "instruction sets"
