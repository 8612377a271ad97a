import os

import pytest

from tuibench.core.machine.effective_cpus import EffectiveCpus
from tuibench.machine.cgroup import Throttling, memory_limit_bytes, own_groups, quota_cpus, throttling
from tuibench.machine.effective_cpus import count_cores, effective_cpus


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


@pytest.fixture
def version_2(tmp_path):
    """A container's group inside a limited one, as cgroup version 2 mounts them."""
    mount = tmp_path / "cgroup"
    write(mount / "pod/app", cpu__max="max 100000", cpu__stat="usage_usec 9\nnr_throttled 2\nthrottled_usec 30")
    write(mount / "pod", cpu__max="150000 100000", cpu__stat="nr_throttled 5\nthrottled_usec 70", memory__max="1000")
    write(mount, cpu__stat="usage_usec 9")
    write(tmp_path, own="0::/pod/app")
    return own_groups("cpu", tmp_path / "own", mount)


@pytest.fixture
def version_1(tmp_path):
    mount = tmp_path / "cgroup-1"
    write(
        mount / "cpu,cpuacct/docker/1234",
        cpu__cfs_quota_us="50000",
        cpu__cfs_period_us="100000",
        cpu__stat="nr_periods 10\nnr_throttled 4\nthrottled_time 1000",
    )
    write(mount / "cpu,cpuacct", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    write(tmp_path, own_1="4:memory:/docker/1234\n3:cpu,cpuacct:/docker/1234\n0::/")
    return own_groups("cpu", tmp_path / "own_1", mount)


def test_the_tightest_quota_of_all_levels_counts(version_2, version_1):
    assert quota_cpus(version_2) == 1.5
    assert quota_cpus(version_1) == 0.5


def test_throttling_is_summed_over_the_levels(version_2, version_1):
    assert throttling(version_2) == Throttling(7, 100_000)
    assert throttling(version_1) == Throttling(4, 1000)


def test_a_group_of_the_hosts_tree_that_is_not_mounted_falls_back_to_the_root(tmp_path):
    write(tmp_path / "cgroup", cpu__max="200000 100000")
    write(tmp_path, own="0::/docker/not-visible-here")
    assert quota_cpus(own_groups("cpu", tmp_path / "own", tmp_path / "cgroup")) == 2


def test_a_group_name_cannot_lead_out_of_the_tree(tmp_path):
    write(tmp_path / "cgroup", cpu__max="max 100000")
    write(tmp_path / "elsewhere", cpu__max="1000 100000")
    write(tmp_path, own="0::/../elsewhere")
    assert quota_cpus(own_groups("cpu", tmp_path / "own", tmp_path / "cgroup")) is None


def test_without_groups_there_is_no_limit(tmp_path):
    groups = own_groups("cpu", tmp_path / "none", tmp_path / "neither")
    assert (quota_cpus(groups), throttling(groups), memory_limit_bytes(groups)) == (None, None, None)


def test_memory_is_limited_by_the_tightest_level(version_2, tmp_path):
    assert memory_limit_bytes(version_2) == 1000
    write(tmp_path / "one", memory__limit_in_bytes=str(0x7FFFFFFFFFFFF000))
    assert memory_limit_bytes((tmp_path / "one",)) is None


@pytest.mark.parametrize(
    ("n_allowed", "n_cores", "quota", "n_usable", "n_threads"),
    [
        (8, 4, None, 8, 4),
        (8, 4, 3.0, 3, 3),
        (8, 4, 6.0, 6, 4),
        (2, 2, 1.5, 1, 1),
        (2, 2, 0.2, 1, 1),
        (1, 1, None, 1, 1),
    ],
)
def test_threads_follow_cores_and_whole_cpus_of_quota(n_allowed, n_cores, quota, n_usable, n_threads):
    cpus = EffectiveCpus(n_machine=16, n_allowed=n_allowed, n_cores=n_cores, quota=quota)
    assert (cpus.n_usable, cpus.n_threads) == (n_usable, n_threads)
    assert cpus.doubt(n_threads) is None


def test_too_many_threads_ruin_figures_and_hardware_threads_only_blur_them():
    cpus = EffectiveCpus(n_machine=16, n_allowed=8, n_cores=4, quota=None)
    assert cpus.smt
    assert cpus.doubt(6) == ("6 threads on 4 usable physical cores", False)
    assert cpus.doubt(9) == ("9 threads on 8 usable CPUs", True)
    limited = EffectiveCpus(n_machine=16, n_allowed=8, n_cores=4, quota=1.5)
    assert limited.doubt(2) == ("2 threads on 1 usable CPUs (quota: 1.5 CPUs)", True)


def test_hardware_threads_of_one_core_are_counted_once(tmp_path):
    for cpu, siblings in enumerate(["0,4", "1,5", "2,6", "3,7"] * 2):
        write(tmp_path / f"cpu{cpu}" / "topology", thread_siblings_list=siblings)
    assert count_cores(frozenset(range(8)), tmp_path) == 4
    assert count_cores(frozenset({0, 4, 1}), tmp_path) == 2
    assert count_cores(frozenset({20, 21}), tmp_path) == 2  # topology unknown


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs to take one away")
def test_affinity_is_read_anew():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert effective_cpus().n_allowed == effective_cpus().n_usable == 1
    finally:
        os.sched_setaffinity(0, before)
    assert effective_cpus().n_allowed == len(before)
