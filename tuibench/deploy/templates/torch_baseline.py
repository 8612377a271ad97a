"""The model in this folder under PyTorch, without a KV-cache: every token recomputes the whole text."""

import inspect

import torch
from dispatch import shorten_dispatch
from transformers import AutoModelForCausalLM


class Model:
    """Decodes token by token."""

    def __init__(self, folder, settings, threads):
        torch.set_num_threads(threads)
        self._model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            key_mapping=settings.get("renamed"),  # where the weights hold more than the part that writes
        ).eval()
        takes_it = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        self._options = {"logits_to_keep": 1} if takes_it else {}
        shorten_dispatch(self._model)

    def prefill(self, token_ids, max_length):  # noqa: ARG002
        """Forget everything, read a prompt, and return the logits that follow it."""
        self._token_ids = list(token_ids)
        return self._logits()

    def decode(self, token_id):
        """Append one token and return the logits that follow it."""
        self._token_ids.append(token_id)
        return self._logits()

    def _logits(self):
        with torch.inference_mode():
            output = self._model(input_ids=torch.tensor([self._token_ids]), use_cache=False, **self._options)
        return output.logits[0, -1].numpy()
