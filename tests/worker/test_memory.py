import sys

import pytest

from tuibench.core.run.events import PROTOCOL_VERSION, TrialFinished
from tuibench.core.run.spec import LoadRequest, TrialRequest
from tuibench.measure.process.supervisor import WORKER_COMMAND, WorkerProcess
from tuibench.worker.memory import own_memory, peak_rss_bytes

# What `/usr/bin/time -v` does: starts the command, waits for it, and writes down what the kernel then says of it.
TIME = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, setsigdef=[signal.SIGTERM])
_, _, usage = os.wait4(pid, 0)
open(sys.argv[1], "w").write(str(usage.ru_maxrss * 1024))
"""


@pytest.fixture
async def finished(tmp_path, tiny_llama):
    """Return the ready event, the trial's last event and what the parent's kernel call says in the end."""
    told = tmp_path / "maxrss"
    load = LoadRequest(protocol=PROTOCOL_VERSION, method="kv-cache", model_dir=str(tiny_llama.directory), n_threads=1)
    command = (sys.executable, "-c", TIME, str(told), *WORKER_COMMAND)
    worker = await WorkerProcess.start(load, tmp_path / "worker.log", command=command)
    try:
        ready = [event async for event in worker.ready()][-1]
        request = TrialRequest(prompt="Hello there", max_new_tokens=8)
        last = [event async for event in worker.trial(request)][-1]
    finally:
        await worker.end()
    assert isinstance(last, TrialFinished)
    return ready, last, int(told.read_text())


async def test_the_peak_is_what_the_kernel_tells_the_parent(finished):
    ready, last, maxrss_bytes = finished
    assert last.memory.peak_rss_bytes == pytest.approx(maxrss_bytes, rel=0.02)
    assert 0 < ready.memory.peak_rss_bytes <= last.prefill_peak_bytes <= last.memory.peak_rss_bytes
    assert ready.prepare_peak_bytes is None  # nothing had to be prepared
    assert last.memory.rss_anon_bytes + last.memory.rss_file_bytes <= last.memory.peak_rss_bytes * 1.02
    assert ready.kv_cache.at(10) > 0


def test_both_readings_of_the_peak_agree():
    exact = own_memory().peak_rss_bytes
    assert peak_rss_bytes() >= exact * 0.98
