import asyncio
import signal

import psutil
import pytest

from tuibench.core.run.events import PROTOCOL_VERSION, EngineReady, FailureKind, Heartbeat, TokenEmitted, TrialFinished
from tuibench.core.run.spec import LoadRequest, TrialRequest
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.measure.process.supervisor import WorkerProcess


async def start(tmp_path, model, method="kv-cache"):
    load = LoadRequest(protocol=PROTOCOL_VERSION, method=method, model_dir=str(model.directory), n_threads=1)
    return await WorkerProcess.start(load, tmp_path / "worker.log")


async def generate(worker, prompt="Hello there", n_tokens=8):
    return [event async for event in worker.trial(TrialRequest(prompt=prompt, max_new_tokens=n_tokens))]


@pytest.mark.parametrize("model_name", ["tiny_llama", "tiny_gpt2"])
async def test_both_methods_generate_the_same_tokens_in_processes_of_their_own(tmp_path, request, model_name):
    model = request.getfixturevalue(model_name)
    outputs = []
    for method in ("baseline", "kv-cache"):
        worker = await start(tmp_path, model, method)
        try:
            ready = [event async for event in worker.ready()][-1]
            assert isinstance(ready, EngineReady)
            assert ready.parameters == model.parameters
            events = await generate(worker)
            assert isinstance(events[-1], TrialFinished)
            assert events[-1].memory.peak_rss_bytes > events[-1].memory.rss_file_bytes
            outputs.append([event.token_id for event in events if isinstance(event, TokenEmitted)])
        finally:
            await worker.end()
    assert len(outputs[0]) == 8
    assert outputs[0] == outputs[1]


async def test_a_worker_beats_and_serves_again(tmp_path, tiny_llama):
    worker = await start(tmp_path, tiny_llama)
    try:
        events = [event async for event in worker.ready()]
        for _ in range(1000):  # a beat a second: as a rule, importing torch takes longer
            if any(isinstance(event, Heartbeat) and event.rss_bytes for event in events):
                break
            events += await generate(worker)
        else:
            pytest.fail("no heartbeat")
        first, again = await generate(worker), await generate(worker)
        tokens = [[event.token_id for event in each if isinstance(event, TokenEmitted)] for each in (first, again)]
        assert tokens[0] == tokens[1]
    finally:
        await worker.end()


async def test_a_prompt_beyond_the_window_is_bad_input_not_a_crash(tmp_path, tiny_llama):
    worker = await start(tmp_path, tiny_llama)
    try:
        _ = [event async for event in worker.ready()]
        with pytest.raises(WorkerFailureError, match="shorten the prompt") as caught:
            await generate(worker, prompt="word " * 5000)
    finally:
        await worker.end()
    assert caught.value.kind is FailureKind.BAD_INPUT


async def test_a_model_folder_that_is_gone_is_a_failure_with_its_reason(tmp_path):
    load = LoadRequest(protocol=PROTOCOL_VERSION, method="kv-cache", model_dir=str(tmp_path / "gone"), n_threads=1)
    worker = await WorkerProcess.start(load, tmp_path / "worker.log")
    try:
        with pytest.raises(WorkerFailureError) as caught:
            _ = [event async for event in worker.ready()]
    finally:
        await worker.end()
    assert "gone" in caught.value.message


async def test_an_unknown_method_is_unsupported(tmp_path, tiny_llama):
    worker = await start(tmp_path, tiny_llama, method="no-such-method")
    try:
        with pytest.raises(WorkerFailureError, match="no-such-method") as caught:
            _ = [event async for event in worker.ready()]
    finally:
        await worker.end()
    assert caught.value.kind is FailureKind.UNSUPPORTED


async def test_a_worker_whose_input_closes_ends_by_itself(tmp_path, tiny_llama):
    worker = await start(tmp_path, tiny_llama)
    _ = [event async for event in worker.ready()]
    process = psutil.Process(worker.pid)
    worker.close_input()
    assert await asyncio.to_thread(process.wait, 120) in (0, None)
    await worker.end()


async def test_output_of_libraries_goes_to_the_log_not_into_the_protocol(tmp_path, tiny_llama):
    worker = await start(tmp_path, tiny_llama)
    try:
        _ = [event async for event in worker.ready()]
    finally:
        await worker.end()
    assert "Loading weights" in (tmp_path / "worker.log").read_text()


async def test_the_worker_dies_of_sigterm_at_once(tmp_path, tiny_llama):
    worker = await start(tmp_path, tiny_llama)
    _ = [event async for event in worker.ready()]
    psutil.Process(worker.pid).send_signal(signal.SIGTERM)
    with pytest.raises(WorkerFailureError) as caught:
        await generate(worker)
    await worker.end()
    assert caught.value.kind is FailureKind.KILLED
