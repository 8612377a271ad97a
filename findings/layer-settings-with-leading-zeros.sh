#!/usr/bin/env bash
# transformers 5.24.0, Gemma4TextConfig.
#
# One would guess that a file which gives settings by layer names layer 5 "5", whatever the number of layers.
# `save_pretrained` writes the indices of `per_layer_config` with as many digits as the last layer's has: "5" in a model of
# up to ten layers, "05" in one of eleven or more. The two settings that said the same for all layers of a kind,
# `global_head_dim` and `num_global_key_value_heads`, are not written any more. transformers reads both spellings.
#
# For users: every real Gemma 4 has more than ten layers, a test model has fewer. A converter or runtime that looks for
# `str(index)` passes its tests, finds nothing in a model that was fine-tuned and saved, and takes the narrow heads of
# sliding layers for all of them. Compare the indices as numbers.
#
# Output:
#   10 layers {'indices': ['4', '9'], 'global_head_dim': None, 'head_dim of the last layer, read again': 512}
#   11 layers {'indices': ['04', '10'], 'global_head_dim': None, 'head_dim of the last layer, read again': 512}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet transformers==5.24.0 2>/dev/null
venv/bin/python - <<'PYTHON' 2>/dev/null
import json
from pathlib import Path

import transformers
from transformers import Gemma4TextConfig

print("transformers", transformers.__version__)
seen = {}
for n_layers in (10, 11):
    full = {4, n_layers - 1}
    kinds = ["full_attention" if index in full else "sliding_attention" for index in range(n_layers)]
    config = Gemma4TextConfig(num_hidden_layers=n_layers, layer_types=kinds, head_dim=256, global_head_dim=512)
    config.save_pretrained(f"{n_layers}-layers")
    written = json.loads(Path(f"{n_layers}-layers/config.json").read_text())
    again = Gemma4TextConfig.from_pretrained(f"{n_layers}-layers")
    seen[n_layers] = {
        "indices": sorted(written["per_layer_config"]),
        "global_head_dim": written.get("global_head_dim"),
        "head_dim of the last layer, read again": again.per_layer_config[n_layers - 1].head_dim,
    }
    print(n_layers, "layers", seen[n_layers])
as_described = (
    seen[10]["indices"] == ["4", "9"]
    and seen[11]["indices"] == ["04", "10"]
    and all(each["global_head_dim"] is None for each in seen.values())
    and all(each["head_dim of the last layer, read again"] == 512 for each in seen.values())
)
if not as_described:
    raise SystemExit("transformers behaves otherwise now")
PYTHON
