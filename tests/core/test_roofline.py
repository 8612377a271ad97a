import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scripted import header, record
from tuibench.core.results.observer import observer_share
from tuibench.core.results.roofline import Bound, roofline
from tuibench.core.run.kv_cache import KvCacheSize

MACHINE = msgspec.structs.replace(
    header().machine, n_cores_effective=2, read_bytes_per_s=20_000_000_000, caches={"L3": 32 << 20}
)
KV = {"kv_bytes_per_token": 1_000_000}


def trials(gap_ns, weight_bytes=400_000_000, **changes):
    """Return a warm-up that was told the model's facts, and a trial of 3 steps after 10 prompt tokens."""
    told = {"weight_bytes": weight_bytes, **KV, **changes}
    measured = record("m", step_ns=(gap_ns,) * 3)
    return [
        msgspec.structs.replace(record("m", warmup=True), **told),
        msgspec.structs.replace(measured, n_prompt=10, weight_bytes=None),
    ]


def test_mbu_counts_weights_and_the_cache_at_its_mean_length():
    found = roofline(trials(gap_ns=40_000_000), MACHINE, 2)
    assert found.kv_bytes == 12_000_000  # steps at 11, 12 and 13 tokens
    assert found.bytes_per_token == 412_000_000
    assert found.mbu == pytest.approx(412e6 * 25 / 20e9)


@pytest.mark.parametrize(
    ("gap_ms", "bound", "words"),
    [
        (25, Bound.MEMORY, "82 % of this machine's read bandwidth: memory-bound; fewer bytes per weight help"),
        (40, Bound.PARTLY_MEMORY, "52 % of this machine's read bandwidth: fewer bytes per weight help in part"),
        (200, Bound.COMPUTE, "10 % of this machine's read bandwidth: compute- or overhead-bound"),
        (10, Bound.UNKNOWN, "206 % of this machine's read bandwidth, which cannot be"),
    ],
)  # fmt: skip
def test_the_share_of_the_bandwidth_decides_the_sentence(gap_ms, bound, words):
    found = roofline(trials(gap_ms * 1_000_000), MACHINE, 2)
    assert found.bound is bound
    assert words in found.sentence


def test_a_roof_that_was_exceeded_is_measured_again_and_what_remains_is_explained():
    faster = trials(gap_ns=10_000_000)
    assert roofline(faster, MACHINE, 2).doubts_bandwidth
    twice = MACHINE.with_second_reading(15_000_000_000)
    assert (twice.read_bytes_per_s, twice.first_read_bytes_per_s) == (20_000_000_000, 20_000_000_000)
    assert roofline(faster, twice, 2).sentence.endswith("read memory both times, but not during the trials")
    small = trials(gap_ns=4_000_000, weight_bytes=100_000_000)
    assert roofline(small, twice, 2).sentence.endswith("112 MB that a token reads, some stay in the cache of 34 MB")
    right = MACHINE.with_second_reading(50_000_000_000)
    assert roofline(faster, right, 2).bound is Bound.MEMORY
    assert not roofline(faster, right, 2).doubts_bandwidth


def test_a_little_above_the_roof_is_measured_again_too():
    found = roofline(trials(gap_ns=20_100_000), MACHINE, 2)
    assert found.doubts_bandwidth
    assert found.sentence.startswith("102 % of this machine's read bandwidth, above 100 % by no more than")


@pytest.mark.parametrize(("n_threads", "bound"), [(8, Bound.CACHE), (1, Bound.UNKNOWN)])
def test_threads_on_several_dies_have_the_caches_of_all(n_threads, bound):
    machine = msgspec.structs.replace(MACHINE, n_last_caches=8, n_cpus_effective=64, n_cores_effective=64)
    found = roofline(trials(gap_ns=2_000_000, weight_bytes=200_000_000, kv_bytes_per_token=0), machine, n_threads)
    assert found.bound is bound
    assert found.doubts_bandwidth is (bound is Bound.UNKNOWN)


def test_as_many_threads_as_cores_leave_nothing_to_gain():
    assert roofline(trials(25_000_000), MACHINE, 2).sentence.endswith("more threads do not")


def test_fewer_threads_than_cores_may_still_gain():
    assert "more threads may, up to the 2 cores" in roofline(trials(25_000_000), MACHINE, 1).sentence


def test_tokens_that_one_step_yields_share_its_reading_of_the_weights():
    plain = roofline(trials(40_000_000), MACHINE, 2)
    guesses = {"n_model_steps": 4, "n_guessed": 8, "n_guessed_right": 4}
    guessing = roofline([msgspec.structs.replace(each, **guesses) for each in trials(40_000_000)], MACHINE, 2)
    assert guessing.bytes_per_token == plain.bytes_per_token / 2
    assert guessing.mbu == plain.mbu / 2


def test_weights_that_fit_the_cache_may_be_faster_than_memory():
    found = roofline(trials(gap_ns=500_000, weight_bytes=20_000_000, kv_bytes_per_token=0), MACHINE, 2)
    assert found.bound is Bound.CACHE
    assert "20 MB that a token reads fit into the cache of 34 MB" in found.sentence


def test_without_a_kv_cache_the_whole_sequence_is_the_reason():
    found = roofline(trials(gap_ns=300_000_000, kv_bytes_per_token=None), MACHINE, 2)
    assert found.kv_bytes == 0
    assert "computed again for each token" in found.sentence


@pytest.mark.parametrize("gap", ["speed", "weights", "bandwidth"])
def test_nothing_is_said_without_all_three_numbers(gap):
    records, machine = trials(25_000_000), MACHINE
    if gap == "speed":
        records = records[:1]
    elif gap == "weights":
        records = records[1:]
    else:
        machine = msgspec.structs.replace(machine, read_bytes_per_s=None)
    assert roofline(records, machine, 2) is None


@given(
    st.builds(
        KvCacheSize, bytes_per_token=st.integers(0, 9), sliding_bytes_per_token=st.integers(0, 9),
        window=st.none() | st.integers(0, 40), fixed_bytes=st.integers(0, 9),
    ),
    st.integers(0, 40),
    st.integers(1, 40),
)  # fmt: skip
def test_a_kv_caches_mean_size_is_that_of_its_sizes(kv_cache, shortest, n):
    lengths = range(shortest, shortest + n)
    assert kv_cache.mean_over(lengths) == sum(map(kv_cache.at, lengths)) / n


def test_the_observers_share_is_taken_over_the_timed_windows():
    timed = msgspec.structs.replace(record("m", step_ns=(500_000_000,) * 2), ttft_ns=1_000_000_000)
    watched = msgspec.structs.replace(timed, observer_cpu_ns=40_000_000)
    assert observer_share([watched, timed], 2) == pytest.approx(0.01)
    assert observer_share([watched, timed], 0.5) == pytest.approx(0.04)
    assert observer_share([timed], 2) is None
