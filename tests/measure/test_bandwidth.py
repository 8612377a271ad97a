import json
import os
import re
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tuibench import paths
from tuibench.engines.fused.kernels.stream import read_through
from tuibench.machine import bandwidth
from tuibench.machine.bandwidth import BandwidthError, buffer_bytes, read_bandwidth
from tuibench.machine.fingerprint import machine_header, n_last_caches
from tuibench.worker import read_bandwidth as read_bandwidth_worker


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Nothing disturbs a measurement, unless a test says so."""
    monkeypatch.setattr(bandwidth, "doubts_between", lambda *_: ())


def probe(tmp_path, answer):
    """Return a command that answers, and counts its calls in a file."""
    calls = tmp_path / "calls"
    program = f"import sys; open({str(calls)!r}, 'a').write('x'); {answer}"
    return (sys.executable, "-c", program), lambda: len(calls.read_text()) if calls.exists() else 0


async def test_a_measurement_is_good_for_the_day_and_the_thread_count(tmp_path):
    command, n_calls = probe(tmp_path, "print('{\"cpu_ns\": 1, \"read_bytes_per_s\": ' + sys.argv[1] + '000}')")
    assert await read_bandwidth(2, command=command) == 2000
    assert await read_bandwidth(2, command=command) == 2000
    assert n_calls() == 1
    assert await read_bandwidth(1, command=command) == 1000
    assert await read_bandwidth(2, command=command, again=True) == 2000
    assert n_calls() == 3


async def test_a_disturbed_measurement_is_repeated_once_and_not_kept(tmp_path, monkeypatch):
    answers = tmp_path / "answers"
    answers.write_text("9")
    file = f"open({str(answers)!r}"
    command, n_calls = probe(
        tmp_path,
        f"n = {file}).read(); {file}, 'w').write('8'); print('{{\"cpu_ns\": 1, \"read_bytes_per_s\": ' + n + '}}')",
    )
    monkeypatch.setattr(bandwidth, "doubts_between", lambda *_: ("somebody compiles",))
    assert await read_bandwidth(1, command=command) == 9
    assert n_calls() == 2
    assert not paths.bandwidth_file().exists()


@pytest.mark.parametrize(("field", "value"), [("day", "2001-01-01"), ("machine", "another")])
async def test_another_day_or_machine_is_measured_anew(tmp_path, field, value):
    bandwidth.remember(1, 5)
    (entry,) = json.loads(paths.bandwidth_file().read_bytes())
    paths.bandwidth_file().write_text(json.dumps([entry | {field: value}]))
    command, n_calls = probe(tmp_path, 'print(\'{"cpu_ns": 1, "read_bytes_per_s": 7}\')')
    assert await read_bandwidth(1, command=command) == 7
    assert n_calls() == 1


@pytest.mark.parametrize("content", [b"", b"\xff", b'[{"machine": 1}]', b"{}"])
async def test_a_damaged_memory_is_measured_over(tmp_path, content):
    paths.cache_dir().mkdir()
    paths.bandwidth_file().write_bytes(content)
    command, _ = probe(tmp_path, 'print(\'{"cpu_ns": 1, "read_bytes_per_s": 7}\')')
    assert await read_bandwidth(1, command=command) == 7
    assert await read_bandwidth(1, command=("no-such-program",)) == 7


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("raise MemoryError('not that much')", "not that much"),
        ("sys.exit(3)", "exit code 3"),
        ("print('{}')", "exit code 0"),
    ],
)
async def test_a_failed_measurement_says_why(tmp_path, answer, words):
    command, _ = probe(tmp_path, answer)
    with pytest.raises(BandwidthError, match=words):
        await read_bandwidth(1, command=command)
    assert not paths.bandwidth_file().exists()


async def test_a_command_that_does_not_exist_is_a_failure():
    with pytest.raises(BandwidthError, match="no-such-program"):
        await read_bandwidth(1, command=("no-such-program",))


@pytest.mark.parametrize(("first", "second"), [(9, 8), (8, 9)])
async def test_of_two_measurements_of_a_day_the_higher_counts(tmp_path, first, second):
    answer = 'print(\'{"cpu_ns": 1, "read_bytes_per_s": %d}\')'
    await read_bandwidth(1, command=probe(tmp_path, answer % first)[0])
    assert await read_bandwidth(1, again=True, command=probe(tmp_path, answer % second)[0]) == 9
    assert await read_bandwidth(1) == 9


async def test_memory_is_really_read(monkeypatch):
    monkeypatch.setattr(bandwidth, "buffer_bytes", lambda *_: 64 << 20)
    assert 1e8 < await read_bandwidth(2) < 1e13


def test_every_word_of_a_part_is_read():
    part = np.random.default_rng(0).integers(0, 256, (1 << 20) + 700, dtype=np.uint8)
    whole = part[: len(part) // 256 * 256].view(np.uint32).sum(dtype=np.uint64)
    assert read_through(part) == int(whole) % 2**32


@pytest.mark.skipif(
    "[never]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(), reason="the system gives none"
)
def test_what_is_read_lies_in_huge_pages_as_weights_do():
    part = read_bandwidth_worker._touched(64 << 20)
    address = part.ctypes.data
    maps = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)[1:]
    (ours,) = (each for each in maps if int(each.split("-")[0], 16) <= address < int(re.split("[- ]", each)[1], 16))
    assert int(re.search(r"^AnonHugePages:\s+(\d+)", ours, re.MULTILINE)[1]) > 32 << 10  # of 65,536 KiB


class Memory:
    available = 64 << 30


@pytest.fixture
def _much_memory(monkeypatch):
    monkeypatch.setattr(Memory, "available", 64 << 30)
    monkeypatch.setattr(bandwidth.psutil, "virtual_memory", Memory)
    monkeypatch.setattr(bandwidth, "memory_limit_bytes", lambda _: None)


EIGHT_DIES = msgspec.structs.replace(machine_header(), caches={"L2": 1 << 20, "L3": 96 << 20}, n_last_caches=8)


@pytest.mark.usefixtures("_much_memory")
@pytest.mark.parametrize(("n_threads", "n_used"), [(64, 8), (8, 8), (2, 2)])
def test_the_buffer_is_far_larger_than_all_caches_in_use(n_threads, n_used):
    assert buffer_bytes(EIGHT_DIES, n_threads) == 4 * n_used * (96 << 20)


@pytest.mark.usefixtures("_much_memory")
def test_the_buffer_leaves_memory_to_others(monkeypatch):
    small = msgspec.structs.replace(EIGHT_DIES, n_last_caches=1, caches={"L3": 32 << 20})
    Memory.available = 1 << 30
    assert buffer_bytes(small, 2) == 256 << 20
    Memory.available = 64 << 30
    monkeypatch.setattr(bandwidth, "memory_limit_bytes", lambda _: 1 << 30)  # a container's
    assert buffer_bytes(small, 2) == 256 << 20
    with pytest.raises(BandwidthError, match=r"takes 6\.00 GiB of free memory to read past caches of 768 MiB"):
        buffer_bytes(EIGHT_DIES, 64)


@pytest.mark.parametrize(
    ("shared", "expected"), [(["0-1", "0-1", "2-3,66-67", "2-3,66-67"], 2), (["0-3"] * 4, 1), ([""] * 4, 4)]
)
def test_caches_of_the_last_level_are_counted_once(tmp_path, monkeypatch, shared, expected):
    """Two dies of two CPUs, of which the mask leaves four in all."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for cpu, listed in enumerate(shared):
        for index, (level, text) in enumerate([(1, str(cpu)), (3, listed)]):
            folder = tmp_path / f"cpu{cpu}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            (folder / "level").write_text(f"{level}\n")
            (folder / "shared_cpu_list").write_text(f"{text}\n")
    assert n_last_caches(tmp_path) == expected


def test_caches_that_the_system_does_not_tell_of_are_not_counted(tmp_path):
    assert n_last_caches(tmp_path) is None
