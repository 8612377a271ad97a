"""Any decoder-only model that transformers loads, in PyTorch eager: loaded, described, and checked to be a decoder."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Progress, UnsupportedModelError
from tuibench.engines.first_steps import MOST_NATS, N_PROMPT, FirstSteps, are_logits, first_tokens, largest_kld
from tuibench.engines.forward_errors import FORWARD_ERRORS, one_line, raise_if_out_of_memory

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits
    from tuibench.engines.torch.rotation import Rotation


class TorchEager:
    """Loading and the facts, the same for all methods."""

    method: ClassVar[Method]
    dtype_name: ClassVar[str] = "float32"
    """Of weights and activations, as PyTorch calls it."""
    placement: ClassVar[Mapping[str, Any]] = {}
    """What transformers is told of where weights go: by default into memory."""
    most_nats: ClassVar[float] = MOST_NATS
    """Largest divergence between two ways through the model that is rounding in this type."""

    def __init__(self) -> None:
        self._model: Any = None
        self._rotation: Rotation | None = None
        self._forward_options: dict[str, Any] = {}

    def prepare(self, model_dir: Path, progress: Progress) -> bool:  # noqa: ARG002
        """Nothing to make: the safetensors folder is loaded as it is."""
        return False

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        progress("importing torch and transformers", 0, 3)
        import torch

        from tuibench.engines.torch.checkpoint import load_causal_lm
        from tuibench.engines.torch.counts import describe, watching_experts
        from tuibench.engines.torch.rotation import find_rotation

        torch.set_num_threads(n_threads)
        progress("loading weights", 1, 3)
        self._model = model = load_causal_lm(model_dir, getattr(torch, self.dtype_name), **self.placement)
        self._rotation = find_rotation(model)
        # Only the last position goes through the output head, as in transformers' own generate().
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            self._forward_options["logits_to_keep"] = 1
        progress("checking the first steps", 2, 3)
        token_ids = first_tokens(model.get_input_embeddings().weight.shape[0], model.config.to_dict())
        with watching_experts(model) as self._experts_chosen:
            self.first_steps = FirstSteps(token_ids, self._first_pass(token_ids))
        self._refuse_unless_causal()
        info = self._adapted(describe(model, model_dir, n_threads, self._experts_chosen), progress)
        self._finish()
        return info

    def _adapted(self, info: EngineInfo, progress: Progress) -> EngineInfo:  # noqa: ARG002
        """Change the loaded model, where a method does, and say what it is now."""
        return info

    def _finish(self) -> None:
        """Make the loaded and checked model fast, where that is left to do."""
        from tuibench.engines.torch.dispatch import shorten_dispatch

        shorten_dispatch(self._model)

    def uncached(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits at every position from one pass over all tokens: what every other way is held against."""
        import torch

        if self._rotation is not None:
            self._rotation.begin()
        with torch.inference_mode():
            return self._all_logits(torch.tensor([list(token_ids)]), use_cache=False)

    def close(self) -> None:
        self._model = None

    def _first_pass(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits of the first tokens.

        Raises:
            UnsupportedModelError: Tokens alone are not enough for this model, or it is not whole in transformers.
        """
        try:
            return self.uncached(token_ids)
        except FORWARD_ERRORS as error:
            raise_if_out_of_memory(error)
            raise UnsupportedModelError(
                f"transformers cannot run {self._model.config.model_type} from tokens alone: {one_line(error)}"
            ) from error

    def _refuse_unless_causal(self) -> None:
        """Refuse a model whose predictions depend on the tokens that follow."""
        expected = self.first_steps.logits
        if not are_logits(expected):
            raise UnsupportedModelError("the model's own forward pass gives values that are not numbers")
        prompt = self.first_steps.token_ids[:N_PROMPT]
        if largest_kld(expected[N_PROMPT - 1 : N_PROMPT], self.uncached(prompt)[-1:]) > self.most_nats:
            raise UnsupportedModelError(
                f"{self._model.config.model_type} is not a decoder: what it predicts depends on the tokens that follow"
            )

    def _rotates_alike(self, n_tokens: int) -> bool:
        """Return whether a text of this length has the same frequencies at each of its positions."""
        return self._rotation is None or self._rotation.at(1) == self._rotation.at(n_tokens)

    def _last_logits(self, output: Any) -> Logits:  # noqa: ANN401 - transformers' own
        logits: Logits = output.logits[0, -1].float().numpy()
        return logits

    def _all_logits(self, token_ids: torch.Tensor, **options: Any) -> NDArray[np.float32]:  # noqa: ANN401
        options = {**dict.fromkeys(self._forward_options, 0), **options}
        logits: NDArray[np.float32] = self._model(input_ids=token_ids, **options).logits[0].float().numpy()
        return logits
