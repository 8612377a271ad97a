#!/usr/bin/env bash
# transformers 5.24.0, Olmo3Config, beside LlamaConfig.
#
# One would guess that `rope_theta` of a config.json is the base of every layer's rotation, and that "type", the older
# spelling of "rope_type", is understood as it is for Llama.
# Olmo3Config gives `rope_theta` to the full-attention layers only: those with a sliding window (three of four) keep
# 500,000, whatever the file says. And `"rope_scaling": {"type": "yarn", …}` leaves the full-attention layers with the
# default rotation, where LlamaConfig makes YaRN of the same words; only a warning about unrecognised keys tells of it.
#
# For users: an OLMo 3 that was trained or converted with another base, or with the older spelling, loads without an
# error and computes another model. Say `rope_parameters` for both kinds of layers, with "rope_type".
#
# Output (wrapped):
#   transformers 5.24.0
#   Llama, type yarn:  {'rope_type': 'yarn', 'rope_theta': 10000.0}
#   OLMo 3, type yarn: {'sliding_attention': {'rope_type': 'default', 'rope_theta': 500000.0},
#                       'full_attention': {'rope_type': 'default', 'rope_theta': 10000.0}}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet transformers==5.24.0
venv/bin/python - <<'PYTHON'
from copy import deepcopy

import transformers
from transformers import LlamaConfig, Olmo3Config

SETTINGS = {
    "rope_theta": 10000.0,
    "rope_scaling": {"type": "yarn", "factor": 8.0, "original_max_position_embeddings": 4096},
    "max_position_embeddings": 32768,
    "num_hidden_layers": 4,
}


def said(parameters):
    return {name: parameters[name] for name in ("rope_type", "rope_theta")}


print("transformers", transformers.__version__)
llama = said(LlamaConfig.from_dict(deepcopy(SETTINGS)).rope_parameters)
olmo = {kind: said(of_kind) for kind, of_kind in Olmo3Config.from_dict(deepcopy(SETTINGS)).rope_parameters.items()}
print("Llama, type yarn: ", llama)
print("OLMo 3, type yarn:", olmo)
if llama != {"rope_type": "yarn", "rope_theta": 10000.0} or olmo != {
    "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0},
    "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
}:
    raise SystemExit("transformers behaves otherwise now")
PYTHON
