#!/usr/bin/env bash
# transformers 5.24.0, the text part of a model that also reads pictures (LLaVA), loaded by its text configuration.
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
PYTHON
