#!/usr/bin/env bash
# transformers 5.24.0 with gguf 0.19.0 (and accelerate, which it asks for), `from_pretrained(folder, gguf_file=...)`.
#
# One would guess that a GGUF file of a Llama 3.1, 3.2 or 3.3 is loaded as the model it was made from, or with a word on
# what is missing. llama.cpp's converter writes the "llama3" scaling of these models as a tensor, `rope_freqs.weight`.
# transformers drops it: the model has plain rotary frequencies, other logits from the second token on, and
# `output_loading_info` reports nothing missing and nothing unexpected.
#
# For users: such a model is not the one that llama.cpp runs from the same file, and scores differ for that reason.
# Load the original checkpoint, or pass its `rope_parameters` in a `config=` of one's own.
#
# Why: modeling_gguf_pytorch_utils.py, `load_gguf_checkpoint`: `if name not in tensor_key_mapping: continue`; and
# integrations/ggml.py maps no key of rotary scaling for "llama".
#
# Output (wrapped):
#   rope_parameters of the loaded model: {'rope_theta': 10000.0, 'rope_type': 'default'}
#   reported: {'missing_keys': [], 'unexpected_keys': [], 'mismatched_keys': [], 'error_msgs': []}
#   largest difference of logits: {'plain file, its source': 0.0, 'scaled file, its source': 1.4237,
#     'scaled file, the source without scaling': 0.0, 'scaled file with config=, its source': 0.0}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 transformers==5.24.0 gguf==0.19.0 accelerate==1.15.0 numpy==2.4.6
TQDM_DISABLE=1 venv/bin/python - <<'PYTHON'
import gguf
import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

torch.set_grad_enabled(False)
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}


def config(rope_parameters):
    return LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=1024, bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=False, rope_parameters=rope_parameters,
    )


def tiny(rope_parameters):
    torch.manual_seed(0)
    model = LlamaForCausalLM(config(rope_parameters)).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, 0.15)
    return model


def write_gguf(path, model):
    settings = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(settings.max_position_embeddings)
    writer.add_embedding_length(settings.hidden_size)
    writer.add_block_count(settings.num_hidden_layers)
    writer.add_feed_forward_length(settings.intermediate_size)
    writer.add_head_count(settings.num_attention_heads)
    writer.add_head_count_kv(settings.num_key_value_heads)
    writer.add_layer_norm_rms_eps(settings.rms_norm_eps)
    writer.add_rope_dimension_count(settings.head_dim)
    writer.add_rope_freq_base(settings.rope_parameters["rope_theta"])
    writer.add_vocab_size(settings.vocab_size)
    n_heads = {"q_proj": settings.num_attention_heads, "k_proj": settings.num_key_value_heads}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, settings.num_hidden_layers)
    for name, weights in model.state_dict().items():
        array = weights.numpy()
        if heads := n_heads.get(name.split(".")[-2]):
            # GGUF's Llama rotates neighbours, transformers' the two halves of a head.
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(name, (".weight",)), np.ascontiguousarray(array))
    if settings.rope_parameters["rope_type"] == "llama3":
        plain = settings.rope_parameters["rope_theta"] ** -(np.arange(0, settings.head_dim, 2) / settings.head_dim)
        factors = plain / model.model.rotary_emb.inv_freq.numpy()
        writer.add_tensor("rope_freqs.weight", factors.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def largest_difference(a, b):
    return round((a(ids).logits - b(ids).logits).abs().max().item(), 4)


print("transformers", transformers.__version__)
ids = torch.randint(64, (1, 24), generator=torch.Generator().manual_seed(0))
plain, scaled = tiny(PLAIN), tiny(LLAMA3)
write_gguf("plain.gguf", plain)
write_gguf("scaled.gguf", scaled)
loaded_plain = LlamaForCausalLM.from_pretrained(".", gguf_file="plain.gguf").eval()
loaded, report = LlamaForCausalLM.from_pretrained(".", gguf_file="scaled.gguf", output_loading_info=True)
mended = LlamaForCausalLM.from_pretrained(".", gguf_file="scaled.gguf", config=config(LLAMA3)).eval()
loaded.eval()
print("rope_parameters of the loaded model:", loaded.config.rope_parameters)
print("reported:", {key: sorted(value) for key, value in report.items()})
seen = {
    "plain file, its source": largest_difference(loaded_plain, plain),
    "scaled file, its source": largest_difference(loaded, scaled),
    "scaled file, the source without scaling": largest_difference(loaded, plain),
    "scaled file with config=, its source": largest_difference(mended, scaled),
}
print("largest difference of logits:", seen)
as_described = (
    seen["plain file, its source"] < 1e-4
    and seen["scaled file, its source"] > 0.1
    and seen["scaled file, the source without scaling"] < 1e-4
    and seen["scaled file with config=, its source"] < 1e-4
    and not any(report.values())
)
if not as_described:
    raise SystemExit("transformers behaves otherwise now")
PYTHON
