import msgspec
import pytest

from tests.scripted import header
from tuibench.core.machine.fingerprint import MachineHeader, differences

MACHINE = header().machine
NAMES = (
    "torch", "transformers", "onnxruntime", "numba", "llvmlite", "numpy", "tokenizers", "onnx", "unheard-of", "textual",
    "rich",
)  # fmt: skip
LIBRARIES = dict.fromkeys(NAMES, "1")
WHOLE = MachineHeader(
    cpu="One CPU", isa=("avx2", "fma", "avx512f"), n_cpus=8, n_cpus_effective=2, n_cores_effective=2, smt=False,
    caches={"L3": 32 << 20}, memory_bytes=16 << 30, kernel="Linux 6", container="docker", virtualisation="KVM",
    governor="performance", python="3.11.7", read_bytes_per_s=20 * 10**9, host="one", libraries=LIBRARIES,
    cpu_quota=1.5, n_last_caches=1, first_read_bytes_per_s=19 * 10**9,
)  # fmt: skip
OTHER = {
    "cpu": "Other CPU", "isa": ("sve",), "n_cpus": 4, "n_cpus_effective": 1, "n_cores_effective": 1, "smt": True,
    "caches": {"L3": 1 << 20}, "memory_bytes": 8 << 30, "kernel": "Linux 7", "container": "podman",
    "virtualisation": "Xen", "governor": "powersave", "python": "3.14.0", "read_bytes_per_s": 10**9, "host": "other",
    "libraries": {"torch": "2"}, "cpu_quota": 1.0, "n_last_caches": 2, "first_read_bytes_per_s": 10**9,
}  # fmt: skip


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
        ({"read_bytes_per_s": 10**9}, "read bandwidth"),
        ({"isa": ("sve",)}, "instruction sets"),
        ({"n_cores_effective": 1}, "usable physical cores"),
        ({"smt": True}, "hardware threads"),
        ({"caches": {"L3": 16 << 20}}, "caches"),
        ({"virtualisation": "Xen"}, "virtualisation"),
        ({"governor": "powersave"}, "frequency governor"),
        ({"cpu_quota": 1.0}, "CPU quota"),
        ({"n_last_caches": 2}, "caches of the last level"),
        ({"python": "3.12.0"}, "Python"),
        *(
            ({"libraries": LIBRARIES | {name: "9"}}, name)
            for name in ("torch", "transformers", "onnxruntime", "numba", "llvmlite", "numpy", "tokenizers", "onnx")
        ),
        ({"libraries": LIBRARIES | {"unheard-of": "9"}}, "unheard-of"),
    ],
)
def test_what_decides_the_speed_matters(changes, what):
    (found,) = differences(WHOLE, msgspec.structs.replace(WHOLE, **changes))
    assert (found.what, found.matters) == (what, True)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"libraries": LIBRARIES | {"textual": "9"}}, "textual"),
        ({"libraries": LIBRARIES | {"rich": "9"}}, "rich"),
        ({"python": "3.11.9"}, "Python"),
        ({"kernel": "Linux 7"}, "kernel"),
        ({"container": "podman"}, "container"),
        ({"n_cpus": 64}, "CPUs of the machine"),
        ({"host": "other"}, "host"),
    ],
)
def test_what_moves_no_figure_is_only_told(changes, what):
    (found,) = differences(WHOLE, msgspec.structs.replace(WHOLE, **changes))
    assert (found.what, found.matters) == (what, False)


def test_every_field_of_a_machine_makes_a_difference_of_one_kind_or_the_other():
    """A field that is added is decided on, and tested above."""
    compared = {
        name
        for name in MachineHeader.__struct_fields__
        if differences(WHOLE, msgspec.structs.replace(WHOLE, **{name: OTHER[name]}))
    }
    # The lower one of two readings of the bandwidth, of which the higher counts.
    assert compared == set(MachineHeader.__struct_fields__) - {"first_read_bytes_per_s"}


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
