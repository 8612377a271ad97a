"""What a loaded model holds, and what of it a decoded token reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tuibench.core import format as fmt
from tuibench.engines.base import EngineInfo
from tuibench.engines.torch.rotation import context_window
from tuibench.models.folder import weight_files

_PRECISIONS = {4: "FP32", 2: "BF16"}
"""By the bytes of a weight."""
_STACKED = 3
"""Dimensions of the weights of all experts of a layer: experts, outputs, inputs."""


@contextmanager
def watching_experts(model: Any) -> Iterator[dict[int, int]]:  # noqa: ANN401 - transformers' own
    """Note, while the model runs, how many experts a token goes to: by `id` of the module that holds their weights.

    Modules that are not told (every token goes to all of their experts) do not appear.
    """
    import torch

    chosen: dict[int, int] = {}

    def note(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ANN401 - transformers' own
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor) and value.dtype in {torch.int32, torch.int64}:
                chosen[id(module)] = value.shape[-1]

    hooks = [module.register_forward_pre_hook(note, with_kwargs=True) for module in _expert_modules(model)]
    try:
        yield chosen
    finally:
        for hook in hooks:
            hook.remove()


def expert_weights(model: Any, chosen: Mapping[int, int]) -> tuple[int, int]:  # noqa: ANN401 - transformers' own
    """Return the number of weights of all experts, and of those that one token goes to."""
    total = active = 0
    for module in _expert_modules(model):
        for weight in _stacked(module):
            n_experts = weight.shape[0]
            total += weight.numel()
            active += weight.numel() // n_experts * min(chosen.get(id(module), n_experts), n_experts)
    return total, active


def describe(model: Any, model_dir: Path, n_threads: int, chosen: Mapping[int, int]) -> EngineInfo:  # noqa: ANN401
    """Return the facts of a loaded model.

    Args:
        model: A causal language model of transformers.
        model_dir: Its folder.
        n_threads: Threads of its products.
        chosen: What `watching_experts` has noted.
    """
    import torch

    parameters = {id(parameter): parameter for parameter in model.parameters()}
    head = model.get_output_embeddings()
    # A lookup reads one row of an embedding; the table is streamed only where it also serves as the output head.
    lookups = {
        id(module.weight): module.weight.nbytes
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding) and (head is None or module.weight is not head.weight)
    }
    n_expert, n_active = expert_weights(model, chosen)
    read_bytes = sum(parameter.nbytes for parameter in parameters.values()) - sum(lookups.values())
    return EngineInfo(
        parameters=sum(parameter.numel() for parameter in parameters.values()),
        artifact_bytes=sum(path.stat().st_size for path in weight_files(model_dir, model_dir.name)),
        weight_bytes=read_bytes - model.dtype.itemsize * (n_expert - n_active),
        context_window=context_window(model.config.get_text_config()),
        facts={
            "precision": _PRECISIONS[model.dtype.itemsize],
            "attention": model.config._attn_implementation,  # noqa: SLF001 - no public name for it
            "kernels": f"PyTorch {torch.backends.cpu.get_cpu_capability()}",
            "threads": str(n_threads),
            **(
                {"experts": f"{fmt.percent(n_active / n_expert)} of their weights are read for a token"}
                if n_expert
                else {}
            ),
            "torch": str(torch.__version__),
            "transformers": version("transformers"),
        },
    )


def _expert_modules(model: Any) -> list[Any]:  # noqa: ANN401 - transformers' own
    return [module for module in model.modules() if _stacked(module)]


def _stacked(module: Any) -> list[Any]:  # noqa: ANN401 - transformers' own
    return [weight for weight in module.parameters(recurse=False) if weight.dim() == _STACKED]
