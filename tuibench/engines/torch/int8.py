"""`int8-torch`: the KV-cache method with every linear layer in PyTorch's dynamic INT8."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
        import torch

        from tuibench.engines.torch.counts import expert_weights

        engine = _pick_engine()
        torch.backends.quantized.engine = engine
        _linear_from_conv1d(self._model)
        before = _linear_weights(self._model)
        _quantise(self._model)
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
            "quantised": f"{n_quantised / max(n_quantised + n_left, 1):.0%} of the weights in matrix products",
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


def _pick_engine() -> str:
    import torch

    available: list[str] = torch.backends.quantized.supported_engines
    for engine in ("x86", "fbgemm", "onednn", "qnnpack"):
        if engine in available:
            return engine
    raise UnsupportedModelError("this build of PyTorch has no INT8 kernels for this processor")


def _activation_bits(engine: str) -> int:
    """Return the width that keeps the kernels' sums below 16 bits where they would saturate."""
    return 7 if engine in {"x86", "fbgemm"} else 8


def _linear_from_conv1d(model: Any) -> None:  # noqa: ANN401 - transformers' own
    """Replace GPT-2's Conv1D, a linear layer whose weight is stored the other way round."""
    import torch
    from transformers.pytorch_utils import Conv1D

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, Conv1D):
                continue
            n_inputs, n_outputs = child.weight.shape
            linear = torch.nn.Linear(n_inputs, n_outputs, device="meta")
            linear.weight = torch.nn.Parameter(child.weight.detach().T.contiguous(), requires_grad=False)
            linear.bias = torch.nn.Parameter(child.bias.detach(), requires_grad=False)
            setattr(parent, name, linear)


def _quantise(model: Any) -> None:  # noqa: ANN401 - transformers' own
    import torch

    with warnings.catch_warnings():
        # "deprecated and will be removed in 2.10", says 2.13; torch is pinned, and nothing else serves these CPUs.
        warnings.simplefilter("ignore")
        # A dtype instead of this would give one scale for a whole matrix. A tied head becomes a copy of its own.
        per_row = torch.ao.quantization.per_channel_dynamic_qconfig
        torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear: per_row}, inplace=True)


def _linear_weights(model: Any) -> dict[str, int]:  # noqa: ANN401 - transformers' own
    """Return the number of weights of each linear layer that is not quantised."""
    import torch

    linears: dict[str, torch.nn.Linear] = {
        name: module for name, module in model.named_modules() if type(module) is torch.nn.Linear
    }
    return {name: module.weight.numel() for name, module in linears.items()}
