#!/usr/bin/env bash
# transformers 5.24.0, the text part of a model that also reads pictures (LLaVA), loaded by its text configuration.
#
# One would guess that AutoModelForCausalLM, given a folder and the text part of the folder's own configuration, finds
# the weights of that part in it: they are all there, under the name of the part.
# Every one is drawn at random instead, anew at each load. Nothing is raised; a report in the log lists all of them as
# MISSING and the folder's as UNEXPECTED.
#
# For users: speed is that of the model, but what it writes, its perplexity and every comparison of quality are of no
# model at all. Load the whole model and ask its text part.
#
# Output, without the report:
#   transformers 5.24.0
#   class LlamaForCausalLM
#   furthest from the model's logits 0.933 0.831
#   two loads of one folder are equal: False
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet transformers==5.24.0 torch==2.13.0
venv/bin/python - <<'PYTHON'
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, LlavaConfig, LlavaForConditionalGeneration

TEXT = {
    "model_type": "llama", "vocab_size": 384, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
}
EYE = {
    "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
    "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
}
torch.manual_seed(0)
whole = LlavaForConditionalGeneration(LlavaConfig(text_config=TEXT, vision_config=EYE)).eval()
whole.save_pretrained("folder")
text_config = AutoConfig.from_pretrained("folder").get_text_config()
tokens = torch.arange(5, 13)[None]
with torch.no_grad():
    wanted = whole(input_ids=tokens).logits
    loads = []
    for _ in range(2):
        part = AutoModelForCausalLM.from_pretrained("folder", config=text_config).eval()
        loads.append(part(input_ids=tokens).logits)
print("transformers", transformers.__version__)
print("class", type(part).__name__)
print("furthest from the model's logits", *(f"{float((each - wanted).abs().max()):.3f}" for each in loads))
print("two loads of one folder are equal:", torch.equal(*loads))
if torch.equal(*loads) or any(torch.allclose(each, wanted, atol=1e-3) for each in loads):
    raise SystemExit("transformers behaves otherwise now")
PYTHON
