#!/usr/bin/env bash
# tokenizers 0.23.3 with transformers 5.24.0, `save_pretrained` of a fast tokenizer.
#
# One would guess that `truncation=True, max_length=8` holds for the call that it is given to, and that a
# tokenizer.json describes a tokenizer, not what was last done with it.
# The call leaves its truncation, or padding, in the tokenizer, and `save_pretrained` writes them into the file.
# transformers, reading the folder, does as each of its calls says and shows nothing of it; a program that reads
# tokenizer.json with the tokenizers library cuts prompts to 8 tokens, or fills them up to 16, in silence.
#
# For users: a prompt "of 512 tokens" is then shorter, or mostly padding, in one of two engines that are compared on
# one folder, and its time and its perplexity are those of another text. Call `no_truncation()` and `no_padding()`
# after `Tokenizer.from_file`, and look at the number of tokens, not at the text.
#
# Output (tokens of a text of twelve words and of one of one; what tokenizer.json sets):
#   tokenizers 0.23.3 transformers 5.24.0
#     saved at once: {'transformers': [12, 1], 'tokenizers': [12, 1]} {'truncation': False, 'padding': False}
#     saved after a plain call: {'transformers': [12, 1], 'tokenizers': [12, 1]} {'truncation': False, 'padding': False}
#     saved after a call with truncation: {'transformers': [12, 1], 'tokenizers': [8, 1]} {'truncation': True,
#       'padding': False}
#     saved after a call with padding: {'transformers': [12, 1], 'tokenizers': [16, 16]} {'truncation': False,
#       'padding': True}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet tokenizers==0.23.3 transformers==5.24.0
venv/bin/python - <<'PYTHON'
import json
from importlib.metadata import version

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

TEXT = "a b c d e f g h i j k l"
LETTERS = {"<pad>": 0} | {letter: i for i, letter in enumerate("abcdefghijkl", 1)}


def fresh():
    letters = Tokenizer(models.WordLevel(LETTERS, unk_token="<pad>"))
    letters.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=letters, pad_token="<pad>", unk_token="<pad>")


def read(folder):
    """Return how many tokens each reader of a folder makes of twelve words and of one."""
    return {
        name: [len(encode(text)) for text in (TEXT, "a")]
        for name, encode in {
            "transformers": lambda text: AutoTokenizer.from_pretrained(folder)(text)["input_ids"],
            "tokenizers": lambda text: Tokenizer.from_file(f"{folder}/tokenizer.json").encode(text).ids,
        }.items()
    }


print("tokenizers", version("tokenizers"), "transformers", version("transformers"))
seen = {}
for name, settings in {
    "saved at once": None,
    "saved after a plain call": {},
    "saved after a call with truncation": {"truncation": True, "max_length": 8},
    "saved after a call with padding": {"padding": "max_length", "max_length": 16},
}.items():
    tokenizer = fresh()
    if settings is not None:
        tokenizer(TEXT, **settings)
    tokenizer.save_pretrained(name)
    seen[name] = read(name)
    with open(f"{name}/tokenizer.json") as file:
        content = json.load(file)
    print(f"  {name}: {seen[name]}", {key: content[key] is not None for key in ("truncation", "padding")})
if seen != {
    "saved at once": {"transformers": [12, 1], "tokenizers": [12, 1]},
    "saved after a plain call": {"transformers": [12, 1], "tokenizers": [12, 1]},
    "saved after a call with truncation": {"transformers": [12, 1], "tokenizers": [8, 1]},
    "saved after a call with padding": {"transformers": [12, 1], "tokenizers": [16, 16]},
}:
    raise SystemExit("the libraries behave otherwise now")
PYTHON
