#!/usr/bin/env bash
# transformers 5.24.0, OpenAIGPTLMHeadModel.
#
# One would guess that a model which cannot keep a KV cache refuses one, or warns.
# It accepts `cache=..., use_cache=True` and leaves the cache empty: fed one token at a time, each step's logits are those
# of that token alone. No error, no warning. GPT-2, called in the same way, is right.
#
# For users: a decoding loop that runs is not a decoding loop that remembers. Compare a step's logits with an uncached
# forward of the whole text, or look at `cache.get_seq_length()`, before timing anything. `generate()` is not affected.
#
# Why: models/openai/modeling_openai.py, `forward(..., **kwargs)`: the cache is swallowed by `kwargs` and never read.
#
# Output (wrapped):
#   GPT-2 {'tokens in the cache': 6, 'step against whole text': 0.0, 'step against its token alone': 2.4072,
#     'generate() with and without cache': 0.0, 'warnings': 0}
#   OpenAI GPT {'tokens in the cache': 0, 'step against whole text': 2.1723, 'step against its token alone': 0.0,
#     'generate() with and without cache': 0.0, 'warnings': 0}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 transformers==5.24.0
venv/bin/python - <<'PYTHON'
import logging
import warnings

import torch
import transformers
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel, OpenAIGPTConfig, OpenAIGPTLMHeadModel


class Messages(logging.Handler):
    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def tiny(model_class, config_class):
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32}
    model = model_class(config_class(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, 0.15)
    return model


def largest_difference(a, b):
    return (a - b).abs().max().item()


torch.set_grad_enabled(False)
print("transformers", transformers.__version__)
ids = torch.tensor([[5, 17, 42, 3, 61, 8]])
seen = {}
for name, model in {
    "GPT-2": tiny(GPT2LMHeadModel, GPT2Config),
    "OpenAI GPT": tiny(OpenAIGPTLMHeadModel, OpenAIGPTConfig),
}.items():
    cache = DynamicCache(config=model.config)
    messages = Messages()
    transformers.logging.get_logger().addHandler(messages)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        steps = [model(ids[:, i : i + 1], cache=cache, use_cache=True).logits[0, -1] for i in range(ids.shape[1])]
    transformers.logging.get_logger().removeHandler(messages)
    alone = torch.stack([model(ids[:, i : i + 1]).logits[0, -1] for i in range(ids.shape[1])])
    with_cache, without = (
        model.generate(ids, max_new_tokens=8, do_sample=False, use_cache=use_cache, pad_token_id=0,
                       output_logits=True, return_dict_in_generate=True).logits
        for use_cache in (True, False)
    )
    seen[name] = {
        "tokens in the cache": cache.get_seq_length(),
        "step against whole text": largest_difference(torch.stack(steps), model(ids).logits[0]),
        "step against its token alone": largest_difference(torch.stack(steps), alone),
        "generate() with and without cache": largest_difference(torch.stack(with_cache), torch.stack(without)),
        "warnings": len(caught) + len(messages.texts),
    }
    print(name, {key: round(value, 4) for key, value in seen[name].items()})

gpt2, gpt = seen["GPT-2"], seen["OpenAI GPT"]
as_described = (
    gpt2["tokens in the cache"] == 6
    and gpt2["step against whole text"] < 1e-4
    and gpt["tokens in the cache"] == 0
    and gpt["step against whole text"] > 0.1
    and gpt["step against its token alone"] < 1e-6
    and gpt["generate() with and without cache"] < 1e-4
    and gpt["warnings"] == 0
)
if not as_described:
    raise SystemExit("transformers behaves otherwise now")
PYTHON
