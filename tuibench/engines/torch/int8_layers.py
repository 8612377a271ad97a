"""PyTorch's dynamic INT8 in place of every linear layer: one scale a row, ranges of activations found as they come."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D


def choose_kernels() -> str | None:
    """Have PyTorch use the best INT8 kernels of this build, and return their name; None where it has none."""
    available: list[str] = torch.backends.quantized.supported_engines
    chosen = next((name for name in ("x86", "fbgemm", "onednn", "qnnpack") if name in available), None)
    if chosen is not None:
        torch.backends.quantized.engine = chosen
    return chosen


def linear_from_conv1d(model: Any) -> None:  # noqa: ANN401 - transformers' own
    """Replace GPT-2's Conv1D, a linear layer whose weight is stored the other way round."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, Conv1D):
                continue
            n_inputs, n_outputs = child.weight.shape
            linear = torch.nn.Linear(n_inputs, n_outputs, device="meta")
            linear.weight = torch.nn.Parameter(child.weight.detach().T.contiguous(), requires_grad=False)
            linear.bias = torch.nn.Parameter(child.bias.detach(), requires_grad=False)
            setattr(parent, name, linear)


def quantise(model: Any) -> None:  # noqa: ANN401 - transformers' own
    """Replace the linear layers."""
    with warnings.catch_warnings():
        # "deprecated and will be removed in 2.10", says 2.13; torch is pinned, and nothing else serves these CPUs.
        warnings.simplefilter("ignore")
        # A dtype instead of this would give one scale for a whole matrix. A tied head becomes a copy of its own.
        per_row = torch.ao.quantization.per_channel_dynamic_qconfig
        torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear: per_row}, inplace=True)
    # The FP32 layers that were replaced refer to themselves: four times the bytes of the new ones stayed until some
    # later collection.
    gc.collect()
