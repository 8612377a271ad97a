#!/usr/bin/env bash
# ctranslate2 4.8.5, its converter for Hugging Face models, with transformers 5.24.0.
#
# One would guess that a converter which knows a family, names the rotary scaling "llama3" among those it supports,
# and refuses other kinds, converts a model of that family as it is, or says what it leaves out.
# It leaves out, without an error or a warning: the scaling of Llama 3.1, 3.2 and 3.3; soft-caps, query scale and
# sliding window of Gemma 2; the query scale of Gemma 3; the sliding window of Qwen 2; another activation of a Llama.
# Each converted model computes exactly what transformers computes for the same weights without that setting.
#
# For users: such a model's log-probabilities are not those of its checkpoint, at any precision: what "int8" seems to
# lose is lost in FP32. Compare a FP32 conversion's `forward_batch` with transformers over some hundred tokens first.
#
# Why: specs/attention_spec.py writes `rotary_scaling_factor` for the kind "linear" only, so that "llama3" has the
# factor 1. In converters/transformers.py, Gemma2Loader and Qwen2Loader read none of these settings, Gemma3Loader not
# the query scale, and LlamaLoader says SWISH.
#
# Output:
#   ctranslate2 4.8.5 transformers 5.24.0
#   largest difference of logits from transformers with and without the setting:
#     llama, nothing: 0.0002 0.0002
#     llama, llama3 scaling: 6.1503 0.0002
#     llama, hidden_act: 2.6118 0.0001
#     gemma2, nothing: 0.0000 0.0000
#     gemma2, final_logit_softcapping: 15.4163 0.0000
#     gemma2, attn_logit_softcapping: 0.8761 0.0000
#     gemma2, query_pre_attn_scalar: 0.2675 0.0000
#     gemma2, sliding_window: 5.8053 0.0000
#     gemma3_text, query_pre_attn_scalar: 0.5372 0.0000
#     qwen2, sliding_window: 17.2208 0.0001
#   warnings of the converter: []
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet ctranslate2==4.8.5 torch==2.13.0 transformers==5.24.0 numpy==2.4.6
venv/bin/python - 2>messages <<'PYTHON' || { cat messages; exit 1; }
import warnings

import ctranslate2
import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

torch.set_grad_enabled(False)
N_TOKENS, HEAD_WIDTH = 200, 32
PLAIN_ROPE = {"rope_type": "default", "rope_theta": 500000.0}
LLAMA3_ROPE = PLAIN_ROPE | {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
GEMMA2 = {"attn_logit_softcapping": None, "final_logit_softcapping": None, "query_pre_attn_scalar": HEAD_WIDTH,
          "sliding_window": 4096}
CASES = [  # what is set, family, without it, with it
    ("nothing", "llama", {"rope_parameters": PLAIN_ROPE}, {}),
    ("llama3 scaling", "llama", {"rope_parameters": PLAIN_ROPE}, {"rope_parameters": LLAMA3_ROPE}),
    ("hidden_act", "llama", {}, {"hidden_act": "gelu"}),
    ("nothing", "gemma2", GEMMA2, {}),
    ("final_logit_softcapping", "gemma2", GEMMA2, {"final_logit_softcapping": 30.0}),
    ("attn_logit_softcapping", "gemma2", GEMMA2, {"attn_logit_softcapping": 50.0}),
    ("query_pre_attn_scalar", "gemma2", GEMMA2, {"query_pre_attn_scalar": 40}),
    ("sliding_window", "gemma2", GEMMA2, {"sliding_window": 64}),
    ("query_pre_attn_scalar", "gemma3_text", {"query_pre_attn_scalar": HEAD_WIDTH}, {"query_pre_attn_scalar": 40}),
    ("sliding_window", "qwen2", {}, {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 0}),
]


def tiny(family, settings):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{
        "vocab_size": 64, "hidden_size": 128, "intermediate_size": 96, "num_hidden_layers": 2, "head_dim": HEAD_WIDTH,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 131072, "bos_token_id": 1,
        "eos_token_id": 2, "pad_token_id": 3,
    } | settings)).eval()
    for name, parameter in model.named_parameters():
        is_gain = "norm" in name and "gemma" not in family  # Gemma adds the 1 itself
        parameter.normal_(1 if is_gain else 0, 0.3 if parameter.dim() > 1 else 0.1)
    return model


def converted(model, folder):
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"t{i}": i for i in range(64)}, unk_token="t0"))
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="t1", eos_token="t2", unk_token="t0", pad_token="t3"
    ).save_pretrained(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ctranslate2.converters.TransformersConverter(folder).convert(folder + "-converted")
    said.extend(str(warning.message) for warning in caught)
    return ctranslate2.Generator(folder + "-converted", device="cpu", compute_type="float32")


print("ctranslate2", ctranslate2.__version__, "transformers", transformers.__version__)
print("largest difference of logits from transformers with and without the setting:")
ids = torch.randint(4, 64, (1, N_TOKENS), generator=torch.Generator().manual_seed(1))
tokens = [f"t{i}" for i in ids[0].tolist()]
said, as_described = [], True
for number, (name, family, without, settings) in enumerate(CASES):
    model = tiny(family, without | settings)
    got = np.array(converted(model, f"model{number}").forward_batch([tokens]))[0]
    with_it, without_it = (
        float(np.abs(got - logits[0].numpy()).max())
        for logits in (model(ids).logits, tiny(family, without)(ids).logits)
    )
    print(f"  {family}, {name}: {with_it:.4f} {without_it:.4f}")
    as_described &= without_it < 1e-2 and (with_it > 0.05) == (name != "nothing")
said = [text for text in said if "torch" not in text]  # what PyTorch says of itself
print("warnings of the converter:", said)
if not as_described or said:
    raise SystemExit("ctranslate2 behaves otherwise now")
PYTHON
