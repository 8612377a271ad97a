#!/usr/bin/env bash
# transformers 5.24.0 with PyTorch 2.13.0, `from_pretrained` of a model whose files hold experts one by one.
#
# One would guess that loading takes the model and what is being copied: a layer or so. Files of Qwen3-MoE, Mixtral and
# their kin hold each expert by itself, the module has those of a layer in one tensor. A pool of threads copies the
# files' tensors, in the wanted type, ahead of the thread that puts them together, and nothing holds it back: the copies
# of most layers are waiting in memory while the first layers are put together, and what they leave behind when they are
# freed in bits is not given back. Of a BF16 model that is loaded in FP32, the peak is up to twice the weights.
# `HF_DEACTIVATE_ASYNC_LOAD=1` copies each tensor when it is needed: the same weights, a peak of the model and one
# layer, and on two cores no slower (0.55 billion weights: 2.1 to 5.9 s with it, 4.6 to 5.7 s without).
#
# For users: what fits into memory by its size is killed while it loads.
#
# Output (the figures differ from run to run; the model's own weights in FP32 are 615 MB):
#   default: peak 1249 MB above the libraries, one after the other: 688 MB
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet transformers==5.24.0 torch==2.13.0 2>/dev/null
cat > make.py <<'PYTHON'
import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

config = Qwen3MoeConfig(
    vocab_size=1000, hidden_size=512, moe_intermediate_size=512, num_hidden_layers=12, num_attention_heads=8,
    num_key_value_heads=2, head_dim=64, num_experts=16, num_experts_per_tok=2,
)
Qwen3MoeForCausalLM(config).to(torch.bfloat16).save_pretrained("model")
PYTHON
cat > load.py <<'PYTHON'
import resource

import torch
from transformers import Qwen3MoeForCausalLM


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


before = peak_mb()
model = Qwen3MoeForCausalLM.from_pretrained("model", dtype=torch.float32)
weights_mb = sum(parameter.nbytes for parameter in model.parameters()) // 10**6
files_mb = weights_mb // 2  # mapped while they are read
print(peak_mb() - before - files_mb, weights_mb)
PYTHON
venv/bin/python make.py > log 2>&1
read -r ahead weights < <(venv/bin/python load.py 2>/dev/null)
read -r in_turn _ < <(HF_DEACTIVATE_ASYNC_LOAD=1 venv/bin/python load.py 2>/dev/null)
echo "default: peak $ahead MB above the libraries and the mapped files, one after the other: $in_turn MB; weights: $weights MB"
if ((10 * ahead < 13 * weights || 10 * in_turn > 12 * weights)); then
  echo "transformers loads otherwise now" >&2
  exit 1
fi
