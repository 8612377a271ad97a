#!/usr/bin/env bash
# transformers 5.24.0, RecurrentGemmaForCausalLM.
#
# One would guess that `generate()` without sampling gives the same logits when it is called twice with the same prompt.
# With a prompt of ONE token (a bare BOS, say) it does not: the convolution's window lives in the layers
# (`temporal_block.conv1d_state`), not in the cache, and is replaced only by a prompt of two tokens or more, or by another
# batch size. The second call begins with the end of the first text. The same holds for `model(token, cache=DynamicCache())`.
#
# For users: texts that start from one token depend on what ran before. Set every `conv1d_state` to None between texts,
# or begin with two tokens. `model(token, use_cache=True)` without a cache of one's own, which resets the state, is right.
#
# Why: models/recurrent_gemma/modeling_recurrent_gemma.py, `RecurrentGemmaRecurrentBlock.forward`: a length of 1 means
# "decoding", and RecurrentGemmaModel calls `_setup_cache` only where `cache is None`.
#
# Output (wrapped):
#   largest difference of the first logits: {'one token, second call': 0.1325,
#     'one token, windows set to None': 0.0, 'two tokens, second call': 0.0}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 transformers==5.24.0
venv/bin/python - <<'PYTHON'
import torch
import transformers
from transformers import RecurrentGemmaConfig, RecurrentGemmaForCausalLM

torch.set_grad_enabled(False)
print("transformers", transformers.__version__)
torch.manual_seed(0)
config = RecurrentGemmaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=1, lru_width=32, attention_window_size=16,
)
model = RecurrentGemmaForCausalLM(config).eval()
for parameter in model.parameters():
    if parameter.dim() > 1:
        parameter.normal_(0, 0.15)


def first_logits(prompt):
    generated = model.generate(
        torch.tensor([prompt]), max_new_tokens=4, do_sample=False, pad_token_id=0,
        output_logits=True, return_dict_in_generate=True,
    )
    return generated.logits[0][0]


def forget():
    for layer in model.model.layers:
        if hasattr(layer.temporal_block, "conv1d_state"):
            layer.temporal_block.conv1d_state = None


def largest_difference(a, b):
    return round((a - b).abs().max().item(), 4)


fresh = first_logits([7])
seen = {"one token, second call": largest_difference(first_logits([7]), fresh)}
forget()
seen["one token, windows set to None"] = largest_difference(first_logits([7]), fresh)
seen["two tokens, second call"] = largest_difference(first_logits([7, 9]), first_logits([7, 9]))
print("largest difference of the first logits:", seen)
if not (
    seen["one token, second call"] > 0.01
    and seen["one token, windows set to None"] == 0
    and seen["two tokens, second call"] == 0
):
    raise SystemExit("transformers behaves otherwise now")
PYTHON
