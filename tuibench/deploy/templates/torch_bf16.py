"""The model in this folder under PyTorch, weights and activations in BF16."""

import kv_cache
import torch


class Model(kv_cache.Model):
    """Decodes token by token with a KV-cache, in BF16; logits are handed out in FP32."""

    dtype = torch.bfloat16
