#!/usr/bin/env bash
# transformers 5.24.0, rotary embedding of type "dynamic" (dynamic NTK), shown on LlamaForCausalLM.
#
# One would guess that an uncached forward is a function of its input.
# It is not, for a text longer than the original window (32 tokens here): after a still longer text, it is rotated with
# the longer one's frequencies, and keeps them until a text shorter than the window resets them.
#
# For users: perplexity and logits of such a model depend on the order of the texts. To compare two runs, put a text
# shorter than the window in front of each, or load the model anew.
#
# Why: modeling_rope_utils.py, `dynamic_frequency_update`: frequencies are recomputed on growth (`seq_len >
# max_seq_len_cached`) and reset below the original length; between the two there is no rule.
# Known upstream since 2023: https://github.com/huggingface/transformers/issues/27226
#
# Output (wrapped):
#   a text of 48 tokens, largest difference of its logits:
#     {'the same again': 0.0, 'after 120 tokens': 0.7177, 'after 20 tokens': 0.0}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 transformers==5.24.0
venv/bin/python - <<'PYTHON'
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

torch.set_grad_enabled(False)
print("transformers", transformers.__version__)
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=0,
    rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
)
model = LlamaForCausalLM(config).eval()
for parameter in model.parameters():
    if parameter.dim() > 1:
        parameter.normal_(0, 0.15)


def logits(ids):
    return model(ids, use_cache=False).logits


def largest_difference(a, b):
    return round((a - b).abs().max().item(), 4)


short, medium, long = (torch.randint(64, (1, n_tokens)) for n_tokens in (20, 48, 120))
first = logits(medium)
seen = {"the same again": largest_difference(logits(medium), first)}
logits(long)
seen["after 120 tokens"] = largest_difference(logits(medium), first)
logits(short)
seen["after 20 tokens"] = largest_difference(logits(medium), first)
print("a text of 48 tokens, largest difference of its logits:", seen)
if not (seen["the same again"] == 0 and seen["after 120 tokens"] > 0.1 and seen["after 20 tokens"] == 0):
    raise SystemExit("transformers behaves otherwise now")
PYTHON
