"""llama.cpp's own server on a free port: `python -m tests.llama_server FILE.gguf SLOTS`, until standard input closes.

A process of its own, as users run it: what it computes is none of the test's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from tests.gguf_files import decoder_keys, gguf_tensors, write_gguf

_ROOT = Path(__file__).parents[1]


def write_llama(model_dir, path, matrices=None):
    """Write a Llama of transformers' as GGUF, its tokenizer included, its matrices in FP32 or in another type."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_dir)
    keys = decoder_keys(model.config) | {
        "rope.freq_base": 10000.0,
        "rope.dimension_count": model.config.hidden_size // model.config.num_attention_heads,
    }
    more = {"tokenizer__ggml__add_bos_token": False}
    return write_gguf(path, "llama", keys, gguf_tensors(model, "llama"), matrices, **more)


@contextmanager
def llama_server(path, *keys, n_slots=1, cache="f32"):
    """Yield the address of a server of a GGUF file, which calls its model `tiny`.

    Args:
        path: The file.
        keys: That it takes; none where it wants none.
        n_slots: Requests that it serves together, with a context of 256 tokens each.
        cache: Type of its KV-cache; of FP16, it has flash attention, too, as llama.cpp does by default.
    """
    command = [sys.executable, "-m", "tests.llama_server", str(path), str(n_slots), cache, *keys]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, text=True, cwd=_ROOT, **pipes)
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), f"the server ended with {process.wait()}"
        yield f"{address}/v1"
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def main():
    import xllamacpp

    path, n_slots, cache, *keys = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {"tiny"}
    params.api_keys = keys
    params.port = 0
    params.n_parallel = int(n_slots)
    params.n_ctx, params.warmup, params.fit_params = 256 * params.n_parallel, False, False
    # One thread: two wait for each other, on a busy machine for minutes.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    if cache == "f32":
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.cache_ram_mib, params.verbosity = 0, 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # its threads serve for ever


if __name__ == "__main__":
    main()
