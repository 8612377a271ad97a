#!/usr/bin/env bash
# lm-eval 0.4.13 with transformers 5.24.0, `HFLM.loglikelihood_rolling`, by which wikitext and other tasks of
# perplexity are measured.
#
# One would guess that the perplexity of a text counts the text's tokens and nothing else.
# Where the tokenizer puts a start token in front by itself (as those of Llama, Mistral and Gemma do), that token is
# scored, too: the harness puts one of its own before it and adds log p(<s> | <s>), for which no model was trained,
# and the text follows two start tokens. What the sum is divided by, words or bytes, stays the same. A model whose
# tokenizer adds nothing (GPT-2, SmolLM2, Qwen) is measured by the other rule.
#
# For users: give `add_bos_token=False` in `model_args` for tasks of perplexity; a start token is put in front all the
# same, once. Do not compare such figures across families otherwise, nor with other programs'. The shorter the texts,
# the more it weighs. The model below is a toy that knows one sentence; only the identities carry over to others.
#
# Why: models/huggingface.py: `loglikelihood_rolling` takes `tok_encode(string)`, for which add_bos_token=None means
# the tokenizer's own habit, and gives it to `get_rolling_token_windows(prefix_token=self.prefix_token_id)`.
# Reported for Gemma, and closed: https://github.com/EleutherAI/lm-evaluation-harness/issues/3333
#
# Output:
#   lm-eval 0.4.13 transformers 5.24.0
#     lm-eval: -35.59
#     lm-eval, add_bos_token=False: -1.51
#     the text after one start token: -1.51
#     the start token after itself: -9.28
#     start token and text after a start token: -35.59
#   word perplexity: {'lm-eval': 10.73, 'lm-eval, add_bos_token=False': 1.11}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet "lm-eval[hf]==0.4.13" torch==2.13.0 transformers==5.24.0
venv/bin/python - 2>messages <<'PYTHON' || { cat messages; exit 1; }
import math
from importlib.metadata import version

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

START, END = 0, 1
WORDS = "the cat dog bird sees hears likes a red old small house tree and then".split()
TEXT = "the old dog sees a red bird and then the cat likes the small house"


def word_tokenizer():
    vocabulary = {"<s>": START, "</s>": END, "<unk>": 2} | {word: i for i, word in enumerate(WORDS, 3)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", START)])
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def trained_model(ids):
    """Return a model that has seen each text with one start token, as a Llama has."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, bos_token_id=START, eos_token_id=END,
    ))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    words = ids[1:]
    for _ in range(200):
        batch = torch.stack([torch.cat([ids[:1], words[torch.randperm(len(words))]]) for _ in range(8)])
        batch[:4] = ids
        optimizer.zero_grad()
        model(batch, labels=batch).loss.backward()
        optimizer.step()
    return model.eval()


def log_likelihood(model, ids, n_context):
    with torch.no_grad():
        log_p = model(ids[None]).logits[0].log_softmax(-1)
    return log_p[:-1].gather(1, ids[1:, None])[n_context - 1 :].sum().item()


print("lm-eval", version("lm-eval"), "transformers", version("transformers"))
torch.set_num_threads(1)
tokenizer = word_tokenizer()
ids = torch.tensor(tokenizer.encode(TEXT))
assert ids[0] == START and START not in ids[1:]
model = trained_model(ids)
start = torch.tensor([START])


def harness(**arguments):
    lm = HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=1, **arguments)
    request = Instance(request_type="loglikelihood_rolling", doc={}, arguments=(TEXT,), idx=0)
    return lm.loglikelihood_rolling([request], disable_tqdm=True)[0]


seen = {
    "lm-eval": harness(),
    "lm-eval, add_bos_token=False": harness(add_bos_token=False),
    "the text after one start token": log_likelihood(model, ids, 1),
    "the start token after itself": log_likelihood(model, torch.cat([start, start]), 1),
    "start token and text after a start token": log_likelihood(model, torch.cat([start, ids]), 1),
}
n_words = len(TEXT.split())
for name, total in seen.items():
    print(f"  {name}: {total:.2f}")
by_word = {name: math.exp(-seen[name] / n_words) for name in ("lm-eval", "lm-eval, add_bos_token=False")}
print("word perplexity:", {name: round(value, 2) for name, value in by_word.items()})
as_described = (
    abs(seen["lm-eval"] - seen["start token and text after a start token"]) < 1e-3
    and abs(seen["lm-eval, add_bos_token=False"] - seen["the text after one start token"]) < 1e-3
    and seen["the start token after itself"] < -2
    and by_word["lm-eval"] > 1.1 * by_word["lm-eval, add_bos_token=False"]
)
if not as_described:
    raise SystemExit("lm-eval behaves otherwise now")
PYTHON
