#!/usr/bin/env bash
# llama.cpp as xllamacpp 2026.10.11549 has it, on a CPU with AVX2, with gguf 0.19.0.
#
# One would guess that a model predicts the same for a text whether the text is read at once or token by token: the
# KV-cache is the same, and llama-perplexity, which reads blocks, tells how good a file is when it generates.
# With flash attention, which is on by default, it is several times as far from its own FP32 result where a token is
# processed alone, as every generated one is, as where many are. Without it there is no such difference. Asking for a
# KV-cache in F32 changes nothing under flash attention, not even the last bit.
#
# For users: divergences that llama-perplexity tells are those of reading. The effect is as small as an F16 cache is
# (it shows in F16 and Q8_0 files, not in Q4_0); `-fa off` is as exact either way.
#
# Why: ggml-cpu's flash attention has two ways (ops.cpp). That for many queries adds values up in F32, that for one in
# F16 where they are F16; llama-graph.cpp casts keys and values of an F32 cache to F16 for it.
#
# Output:
#   xllamacpp 2026.10.11549
#   root mean square of the difference of log-probabilities from F32 without flash attention, text read at once:
#                                     at once   token by token
#     no flash attention, F32 cache   0.000000  0.000001
#     no flash attention, F16 cache   0.000603  0.000604
#     flash attention, F32 cache      0.000528  0.003315
#     flash attention, F16 cache      0.000528  0.003315
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6
venv/bin/python - 2>messages <<'PYTHON' || { cat messages; exit 1; }
import json
import os
import urllib.request
from importlib.metadata import version

import gguf
import numpy as np
import xllamacpp

N_VOCAB, HIDDEN, FEED, N_LAYERS, N_HEADS, N_KV_HEADS, WIDTH = 64, 256, 512, 6, 4, 2, 64
N_TEXT, FIRST = 192, 96
random = np.random.default_rng(0)


def write_llama(path):
    """Random weights in F32, so that nothing but the cache is rounded."""
    file = gguf.GGUFWriter(path, "llama")
    file.add_context_length(512)
    file.add_embedding_length(HIDDEN)
    file.add_block_count(N_LAYERS)
    file.add_feed_forward_length(FEED)
    file.add_head_count(N_HEADS)
    file.add_head_count_kv(N_KV_HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_freq_base(10000.0)
    file.add_rope_dimension_count(WIDTH)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("gpt-2")
    file.add_token_list([chr(33 + number) for number in range(N_VOCAB)])
    file.add_token_types([1] * N_VOCAB)
    file.add_token_merges(["! #"])
    file.add_bos_token_id(0)
    file.add_eos_token_id(0)
    file.add_add_bos_token(False)

    def matrix(name, n_rows, n_columns, spread=1.0):
        values = random.standard_normal((n_rows, n_columns)) * spread / np.sqrt(n_columns)
        file.add_tensor(f"{name}.weight", values.astype(np.float32))

    matrix("token_embd", N_VOCAB, HIDDEN, 16)
    matrix("output", N_VOCAB, HIDDEN, 3)
    file.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
    for layer in range(N_LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            file.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(HIDDEN, np.float32))
        matrix(f"blk.{layer}.attn_q", N_HEADS * WIDTH, HIDDEN)
        matrix(f"blk.{layer}.attn_k", N_KV_HEADS * WIDTH, HIDDEN)
        matrix(f"blk.{layer}.attn_v", N_KV_HEADS * WIDTH, HIDDEN)
        matrix(f"blk.{layer}.attn_output", HIDDEN, N_HEADS * WIDTH)
        matrix(f"blk.{layer}.ffn_gate", FEED, HIDDEN)
        matrix(f"blk.{layer}.ffn_up", FEED, HIDDEN)
        matrix(f"blk.{layer}.ffn_down", HIDDEN, FEED)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def serve(path, flash, cache):
    asked = xllamacpp.CommonParams()
    asked.model.path, asked.port, asked.n_ctx, asked.n_parallel = path, 0, 512, 1
    asked.warmup, asked.fit_params, asked.verbosity, asked.cache_ram_mib = False, False, 0, 0
    asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = 1
    kinds = xllamacpp.llama_flash_attn_type
    asked.flash_attn_type = (
        kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    asked.cache_type_k = asked.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{cache}")
    return xllamacpp.Server(asked)


def predictions(server, text, grown):
    """Log-probabilities behind texts that grow by a token; `grown`: on what the server still has of the one before."""
    rows = []
    for end in range(FIRST, len(text)):
        asked = {"prompt": text[:end], "n_predict": 1, "n_probs": N_VOCAB, "cache_prompt": grown, "temperature": 0}
        request = urllib.request.Request(
            server.listening_address + "/completion", json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        (step,) = json.load(urllib.request.urlopen(request))["completion_probabilities"]
        row = np.full(N_VOCAB, np.nan)
        for each in step["top_logprobs"]:
            row[each["id"]] = each["logprob"]
        rows.append(row)
    return np.stack(rows)


write_llama("model.gguf")
text = random.integers(0, N_VOCAB, N_TEXT).tolist()
exact = predictions(serve("model.gguf", False, "F32"), text, grown=False)
far, found = {}, {}
for flash in (False, True):
    for cache in ("F32", "F16"):
        server = serve("model.gguf", flash, cache)
        for grown in (False, True):
            found[flash, cache, grown] = predictions(server, text, grown)
            far[flash, cache, grown] = float(np.sqrt(np.mean((found[flash, cache, grown] - exact) ** 2)))

print("xllamacpp", version("xllamacpp"))
print("root mean square of the difference of log-probabilities from F32 without flash attention, text read at once:")
print(f"  {'':32}at once   token by token")
for flash in (False, True):
    for cache in ("F32", "F16"):
        what = f"{'' if flash else 'no '}flash attention, {cache} cache"
        print(f"  {what:32}{far[flash, cache, False]:.6f}  {far[flash, cache, True]:.6f}")
same = all(np.array_equal(found[True, "F32", grown], found[True, "F16", grown]) for grown in (False, True))
changed = not (
    far[True, "F16", True] > 3 * far[True, "F16", False]
    and far[False, "F16", True] < 1.5 * far[False, "F16", False]
    and far[False, "F32", True] < 1e-4
    and same
)
print("changed" if changed else "as described", flush=True)
os._exit(changed)  # the servers' threads serve for ever
PYTHON
