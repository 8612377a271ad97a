"""The model in this folder under PyTorch: transformers' own, called as it was measured."""

import inspect

import torch
from dispatch import shorten_dispatch
from preallocated import preallocated_cache
from transformers import AutoModelForCausalLM


class Model:
    """Decodes token by token; keys and values of earlier tokens are kept in memory that is set aside at the start."""

    dtype = torch.float32

    def __init__(self, folder, settings, threads):
        torch.set_num_threads(threads)
        self._model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=self.dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            key_mapping=settings.get("renamed"),  # where the weights hold more than the part that writes
        ).eval()
        self._call = settings["cache_call"]
        self._takes_logits_to_keep = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        self._adapt()
        shorten_dispatch(self._model)

    def prefill(self, token_ids, max_length):
        """Forget everything, read a prompt, and return the logits that follow; `max_length` counts new tokens, too."""
        config = self._model.config.get_text_config(decoder=True)
        self._cache = None if self._call["own_cache"] else preallocated_cache(config, max_length)
        self._length = 0
        return self._append(token_ids)[-1]

    def decode(self, token_id):
        """Append one token and return the logits that follow it."""
        return self._append([token_id])[-1]

    def _append(self, token_ids, n_kept=1):
        """Append tokens and return the logits that follow the last `n_kept` of them, or all of them (0)."""
        start, self._length = self._length, self._length + len(token_ids)
        given = {} if self._cache is None else {"cache": self._cache}
        if self._call["positions"]:
            given["position_ids"] = torch.arange(start, self._length)[None]
        if self._call["mask"]:
            given["attention_mask"] = torch.ones(1, self._length, dtype=torch.long)
        if self._takes_logits_to_keep:
            given["logits_to_keep"] = n_kept
        with torch.inference_mode():
            output = self._model(input_ids=torch.tensor([token_ids]), use_cache=True, **given)
        if self._call["own_cache"]:
            self._cache = output.cache
        return output.logits[0].float().numpy()

    def _adapt(self):
        """Change the model once it is loaded: nothing here."""
