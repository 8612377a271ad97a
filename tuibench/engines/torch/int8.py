"""`int8-torch`: the KV-cache method with every linear layer in PyTorch's dynamic INT8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tuibench.core import format as fmt
from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Progress, UnsupportedModelError
from tuibench.engines.forward_errors import FORWARD_ERRORS, one_line, raise_if_out_of_memory
from tuibench.engines.score_by_decoding import score_by_decoding
from tuibench.engines.torch.eager import KvCache

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class Int8Torch(KvCache):
    """Weights are INT8, one scale a row; the range of the activations is found anew for every product."""

    method = Method(
        id="int8-torch",
        title="INT8, PyTorch",
        explanation="PyTorch's dynamic INT8 on every linear layer and the output head",
        parent="kv-cache",
        precision="int8",
        requires=("torch", "transformers"),
    )

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Return the logits token by token: a longer block would share one range of activations between its tokens."""
        return score_by_decoding(self, token_ids)

    def _adapted(self, info: EngineInfo, progress: Progress) -> EngineInfo:
        info = super()._adapted(info, progress)
        progress("quantising", 3, 4)
        from tuibench.engines.torch.counts import expert_weights
        from tuibench.engines.torch.int8_layers import choose_kernels, linear_from_conv1d, quantise

        engine = choose_kernels()
        if engine is None:
            raise UnsupportedModelError("this build of PyTorch has no INT8 kernels for this processor")
        linear_from_conv1d(self._model)
        before = _linear_weights(self._model)
        quantise(self._model)
        self._refuse_unless_it_runs()
        after = _linear_weights(self._model)
        # The weights of experts lie stacked in one parameter a layer, which quantisation passes by.
        n_expert, n_active = expert_weights(self._model, self._experts_chosen)
        n_linear = sum(after.values())
        n_left, n_quantised = n_linear + n_expert, sum(before.values()) - n_linear
        facts = {
            **info.facts,
            "precision": "INT8",
            "kernels": f"PyTorch {engine} dynamic INT8, weights per row, activations {_activation_bits(engine)} bits",
            "products": f"INT8 × {len(before) - len(after)}, FP32 × {len(after)}{', experts FP32' if n_expert else ''}",
            "quantised": f"{fmt.percent(n_quantised / max(n_quantised + n_left, 1))} of the weights in matrix products",
        }
        return replace(info, weight_bytes=n_quantised + 4 * (n_linear + n_active), facts=facts)

    def _refuse_unless_it_runs(self) -> None:
        """Refuse a model whose code reaches into its linear layers, which are of another kind now."""
        token_ids = self.first_steps.token_ids
        try:
            self.prefill(token_ids[:-1], len(token_ids))
            self.decode(token_ids[-1])
        except FORWARD_ERRORS as error:
            raise_if_out_of_memory(error)
            raise UnsupportedModelError(
                f"{self._model.config.model_type} does not run with PyTorch's INT8 layers: {one_line(error)}"
            ) from error


def _activation_bits(engine: str) -> int:
    """Return the width that keeps the kernels' sums below 16 bits where they would saturate."""
    return 7 if engine in {"x86", "fbgemm"} else 8


def _linear_weights(model: Any) -> dict[str, int]:  # noqa: ANN401 - transformers' own
    """Return the number of weights of each linear layer that is not quantised."""
    import torch

    linears: dict[str, torch.nn.Linear] = {
        name: module for name, module in model.named_modules() if type(module) is torch.nn.Linear
    }
    return {name: module.weight.numel() for name, module in linears.items()}
