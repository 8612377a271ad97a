import asyncio
import signal

import psutil
import pytest

from tests.scripted_methods import provide, save_toy_model
from tuibench.core.run.events import PROTOCOL_VERSION, EngineReady, FailureKind, Heartbeat, TokenEmitted, TrialFinished
from tuibench.core.run.spec import LoadRequest, TrialRequest
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.measure.process.supervisor import WorkerProcess


async def start(tmp_path, directory, method):
    load = LoadRequest(protocol=PROTOCOL_VERSION, method=method, model_dir=str(directory), n_threads=1)
    return await WorkerProcess.start(load, tmp_path / "worker.log")


@pytest.fixture
def start_scripted(tmp_path, monkeypatch):
    """Start a worker whose method needs no library."""
    monkeypatch.setenv("PYTHONPATH", provide(tmp_path / "installed")["PYTHONPATH"])
    return lambda: start(tmp_path, save_toy_model(tmp_path / "toy"), "sound")


async def generate(worker, prompt="Hello there", n_tokens=8):
    return [event async for event in worker.trial(TrialRequest(prompt=prompt, max_new_tokens=n_tokens))]


async def test_a_worker_beats_serves_again_and_keeps_what_libraries_say_out_of_the_protocol(tmp_path, tiny_gpt2):
    worker = await start(tmp_path, tiny_gpt2.directory, "kv-cache")
    try:
        events = [event async for event in worker.ready()]
        for _ in range(1000):  # a beat a second: as a rule, importing torch takes longer
            if any(isinstance(event, Heartbeat) and event.rss_bytes for event in events):
                break
            events += await generate(worker)
        else:
            pytest.fail("no heartbeat")
        (ready,) = (event for event in events if isinstance(event, EngineReady))
        assert ready.parameters == tiny_gpt2.parameters
        first, again = await generate(worker), await generate(worker)
        assert isinstance(again[-1], TrialFinished)
        assert again[-1].memory.peak_rss_bytes > again[-1].memory.rss_file_bytes
        tokens = [[event.token_id for event in each if isinstance(event, TokenEmitted)] for each in (first, again)]
        assert tokens[0] == tokens[1]
        assert "Loading weights" in (tmp_path / "worker.log").read_text()
        with pytest.raises(WorkerFailureError, match="shorten the prompt") as caught:
            await generate(worker, prompt="word " * 5000)
    finally:
        await worker.end()
    assert caught.value.kind is FailureKind.BAD_INPUT


async def test_a_model_folder_that_is_gone_is_a_failure_with_its_reason(tmp_path):
    worker = await start(tmp_path, tmp_path / "gone", "kv-cache")
    try:
        with pytest.raises(WorkerFailureError) as caught:
            _ = [event async for event in worker.ready()]
    finally:
        await worker.end()
    assert "gone" in caught.value.message


async def test_an_unknown_method_is_unsupported(tmp_path, tiny_llama):
    worker = await start(tmp_path, tiny_llama.directory, "no-such-method")
    try:
        with pytest.raises(WorkerFailureError, match="no-such-method") as caught:
            _ = [event async for event in worker.ready()]
    finally:
        await worker.end()
    assert caught.value.kind is FailureKind.UNSUPPORTED


async def test_a_worker_whose_input_closes_ends_by_itself(start_scripted):
    worker = await start_scripted()
    _ = [event async for event in worker.ready()]
    process = psutil.Process(worker.pid)
    worker.close_input()
    assert await asyncio.to_thread(process.wait, 120) in (0, None)
    await worker.end()


async def test_the_worker_dies_of_sigterm_at_once(start_scripted):
    worker = await start_scripted()
    _ = [event async for event in worker.ready()]
    psutil.Process(worker.pid).send_signal(signal.SIGTERM)
    with pytest.raises(WorkerFailureError) as caught:
        await generate(worker, prompt="a b")
    await worker.end()
    assert caught.value.kind is FailureKind.KILLED
