import json
import sys

import pytest

from tuibench import paths
from tuibench.measure import bandwidth
from tuibench.measure.bandwidth import BandwidthError, buffer_bytes, read_bandwidth
from tuibench.measure.machine import machine_header


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


async def test_memory_is_really_read(monkeypatch):
    monkeypatch.setattr(bandwidth, "buffer_bytes", lambda _: 64 << 20)
    assert 1e8 < await read_bandwidth(2) < 1e13


def test_the_buffer_is_far_larger_than_the_cache_unless_memory_is_short(monkeypatch):
    machine = machine_header()

    class Memory:
        available = 64 << 30

    monkeypatch.setattr(bandwidth.psutil, "virtual_memory", Memory)
    assert buffer_bytes(machine) >= 4 * (machine.last_cache_bytes or 0)
    Memory.available = 1 << 30
    assert buffer_bytes(machine) == 256 << 20
