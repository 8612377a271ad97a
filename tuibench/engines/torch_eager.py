"""`baseline` and `kv-cache`: any decoder-only model that transformers loads, PyTorch eager, FP32."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tuibench.core.spec import Method
from tuibench.engines.base import EngineInfo, Progress, UnsupportedModelError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits

SCORED_TOKENS = 128
"""Positions of a text that go through the model at once: enough for its products, and few logits (25 MB for 49,152)."""


class _TorchEager:
    """Loading and the facts, the same for both methods."""

    method: ClassVar[Method]

    def __init__(self) -> None:
        self._model: Any = None
        self._forward_options: dict[str, Any] = {}

    def prepare(self, model_dir: Path, progress: Progress) -> bool:  # noqa: ARG002
        """Nothing to make: the safetensors folder is loaded as it is."""
        return False

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        progress("importing torch and transformers", 0, 2)
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        from tuibench.engines.torch_dispatch import shorten_dispatch

        torch.set_num_threads(n_threads)
        config = AutoConfig.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
        if config.is_encoder_decoder:
            raise UnsupportedModelError(f"{config.model_type} is an encoder-decoder model; only decoders generate here")
        progress("loading weights", 1, 2)
        model = AutoModelForCausalLM.from_pretrained(
            model_dir,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
        self._model = model.eval()
        # Only the last position goes through the output head, as in transformers' own generate().
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            self._forward_options["logits_to_keep"] = 1
        info = self._adapted(_describe(model, model_dir, n_threads), progress)
        shorten_dispatch(model)
        return info

    def _adapted(self, info: EngineInfo, progress: Progress) -> EngineInfo:  # noqa: ARG002
        """Change the loaded model, where a method does, and say what it is now."""
        return info

    def close(self) -> None:
        self._model = None

    def _last_logits(self, token_ids: torch.Tensor, **options: Any) -> Logits:  # noqa: ANN401 - transformers' own
        output = self._model(input_ids=token_ids, **self._forward_options, **options)
        logits: Logits = output.logits[0, -1].numpy()
        return logits

    def _all_logits(self, token_ids: torch.Tensor, **options: Any) -> NDArray[np.float32]:  # noqa: ANN401
        options = {**dict.fromkeys(self._forward_options, 0), **options}
        logits: NDArray[np.float32] = self._model(input_ids=token_ids, **options).logits[0].numpy()
        return logits


class Baseline(_TorchEager):
    """The whole sequence is recomputed for every token: cost per token grows with the length."""

    method = Method(
        id="baseline",
        title="No KV-cache",
        explanation="recomputes the whole sequence for every token",
        parent=None,
        precision="fp32",
        requires=("torch", "transformers"),
    )

    def _adapted(self, info: EngineInfo, progress: Progress) -> EngineInfo:  # noqa: ARG002
        return replace(info, kv_value_bytes=None)

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        import torch

        self._ids = torch.zeros(1, max_length, dtype=torch.long)
        self._ids[0, : len(token_ids)] = torch.tensor(token_ids)
        self._length = len(token_ids)
        return self._recompute()

    def decode(self, token_id: int) -> Logits:
        self._ids[0, self._length] = token_id
        self._length += 1
        return self._recompute()

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield one block, from one pass over the whole text: without a cache there is nothing to go on from.

        It is the exception to `Engine.score`'s few dozen MB: a window of 512 × 49,152 logits takes 100 MB.
        """
        import torch

        with torch.inference_mode():
            logits = self._all_logits(torch.tensor([list(token_ids)]), use_cache=False)
        yield logits

    def _recompute(self) -> Logits:
        import torch

        with torch.inference_mode():
            return self._last_logits(self._ids[:, : self._length], use_cache=False)


class KvCache(_TorchEager):
    """Keys and values of earlier tokens are kept, so that a step computes one token only."""

    method = Method(
        id="kv-cache",
        title="KV-cache",
        explanation="keeps keys and values of earlier tokens, computes one token a step",
        parent="baseline",
        precision="fp32",
        requires=("torch", "transformers"),
    )

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        import torch

        from tuibench.engines.torch_cache import preallocated_cache

        self._cache = preallocated_cache(self._model.config, max_length)
        self._token = torch.zeros(1, 1, dtype=torch.long)
        with torch.inference_mode():
            return self._last_logits(torch.tensor([list(token_ids)]), past_key_values=self._cache, use_cache=True)

    def decode(self, token_id: int) -> Logits:
        import torch

        with torch.inference_mode():
            self._token[0, 0] = token_id
            return self._last_logits(self._token, past_key_values=self._cache, use_cache=True)

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits of a text block by block, each going on from the cache of those before."""
        import torch

        for block, cache in self._scored_blocks(token_ids):
            with torch.inference_mode():
                logits = self._all_logits(block, past_key_values=cache, use_cache=True)
            yield logits

    def head_inputs(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the final hidden states of a text, `[positions, hidden]`: what the output head would turn into logits.

        Some models scale or cap the logits after that, or the states before: whoever multiplies these with the head
        must compare the product with `score`.
        """
        import torch

        for block, cache in self._scored_blocks(token_ids):
            with torch.inference_mode():
                output = self._model.base_model(input_ids=block, past_key_values=cache, use_cache=True)
                states: NDArray[np.float32] = output.last_hidden_state[0].numpy()
            yield states

    def _scored_blocks(self, token_ids: Sequence[int]) -> Iterator[tuple[torch.Tensor, Any]]:
        import torch

        from tuibench.engines.torch_cache import preallocated_cache

        cache = preallocated_cache(self._model.config, len(token_ids))
        for start in range(0, len(token_ids), SCORED_TOKENS):
            yield torch.tensor([list(token_ids[start : start + SCORED_TOKENS])]), cache


def _describe(model: Any, model_dir: Path, n_threads: int) -> EngineInfo:  # noqa: ANN401 - transformers' own
    import torch

    parameters = {id(parameter): parameter for parameter in model.parameters()}
    head = model.get_output_embeddings()
    # A lookup reads one row of an embedding; the table is streamed only where it also serves as the output head.
    lookups = {
        id(module.weight): module.weight.nbytes
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding) and (head is None or module.weight is not head.weight)
    }
    window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return EngineInfo(
        parameters=sum(parameter.numel() for parameter in parameters.values()),
        artifact_bytes=sum(path.stat().st_size for path in model_dir.glob("*.safetensors")),
        weight_bytes=sum(parameter.nbytes for parameter in parameters.values()) - sum(lookups.values()),
        context_window=window,
        facts={
            "precision": "FP32",
            "attention": model.config._attn_implementation,  # noqa: SLF001 - no public name for it
            "kernels": f"PyTorch {torch.backends.cpu.get_cpu_capability()}",
            "threads": str(n_threads),
            "torch": str(torch.__version__),
            "transformers": version("transformers"),
        },
    )
