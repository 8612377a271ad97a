"""What is known of workers before any of them has run."""

import dataclasses
from pathlib import Path

import pytest

from tuibench.core.run.shape import Sweep
from tuibench.core.run.spec import RunSpec
from tuibench.measure.run.worker_room import WorkerRoom
from tuibench.models.local import LocalModel
from tuibench.models.memory_needs import need_of
from tuibench.models.model_size import size_of

MODEL = LocalModel("toy", "toy", Path(), "00", 10, 40, "ToyForCausalLM", "F32", 64)
METHODS = ("kv-cache", "onnx-fused", "fused-int8", "llama-cpp-q8_0")


class Asked:
    """A machine that takes note of what it is asked."""

    async def too_little_memory(self, peaks_bytes, parameters):
        self.peaks_bytes, self.parameters = peaks_bytes, parameters


async def peaks(model, seen=None, **changes):
    host = Asked()
    spec = RunSpec(model="toy", methods=METHODS, **{"prompt": "p" * 3000, "max_new_tokens": 24, **changes})
    assert await WorkerRoom(host, model, spec).lacking(METHODS, seen or {}) is None
    return dict(zip(METHODS, host.peaks_bytes, strict=True))


@pytest.fixture
def model(tiny_llama):
    return dataclasses.replace(MODEL, directory=tiny_llama.directory)


async def test_what_is_known_beforehand_is_of_the_longest_text_and_one_makes_its_files(model):
    found = await peaks(model)
    size = size_of(model.directory)
    needs = {method: need_of(method, size, 1024) for method in METHODS}
    assert 0 < needs["onnx-fused"].prepare < needs["fused-int8"].prepare
    assert found == {
        "kv-cache": needs["kv-cache"].run,
        "onnx-fused": needs["onnx-fused"].run,
        "fused-int8": needs["fused-int8"].run + needs["fused-int8"].prepare,
        "llama-cpp-q8_0": None,
    }


async def test_what_was_seen_counts_instead(model):
    assert (await peaks(model, {"kv-cache": 5, "llama-cpp-q8_0": 7}))["kv-cache"] == 5


async def test_a_sweep_holds_the_caches_of_all_users_behind_the_largest_depth(model):
    alone = await peaks(
        model, sweep=Sweep(prompt_tokens=(64,), depth_tokens=(0,), max_new_tokens=(16,), n_threads=(1,))
    )
    most = await peaks(
        model,
        sweep=Sweep(
            prompt_tokens=(64, 128), depth_tokens=(0, 512), max_new_tokens=(16,), n_threads=(1,), n_users=(1, 8)
        ),
    )
    size = size_of(model.directory)
    needs = {n_tokens: need_of("kv-cache", size, n_tokens) for n_tokens in (64 + 16, 8 * (512 + 128 + 16))}
    assert [alone["kv-cache"], most["kv-cache"]] == [need.run for need in needs.values()]


async def test_of_files_that_cannot_be_read_nothing_is_known(tmp_path):
    found = await peaks(dataclasses.replace(MODEL, directory=tmp_path))
    assert set(found.values()) == {None}
