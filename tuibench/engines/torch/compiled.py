"""`kv-cache-compiled`: the KV-cache method with the decoding step as machine code, by torch.compile."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Progress, UnsupportedModelError
from tuibench.engines.forward_errors import FORWARD_ERRORS, one_line, raise_if_out_of_memory
from tuibench.engines.score_by_decoding import score_by_decoding
from tuibench.engines.torch.eager import KvCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits

_FIRST_CAPACITY = 83
"""Of the cache with which the step is compiled: equal to no size of a model, which the compiler would take for one."""


class KvCacheCompiled(KvCache):
    """One graph serves every length: the cache has a fixed capacity in a text, whose unused part is masked.

    The prompt is read by the model as it is: its graph would be another one, used once a text.
    """

    method = Method(
        id="kv-cache-compiled",
        title="KV-cache, compiled",
        explanation="the KV-cache method with the step of one token compiled by torch.compile; needs a C++ compiler",
        parent="kv-cache",
        precision="fp32",
        requires=("torch", "transformers"),
        named_only=True,  # PyTorch traces the step again in each worker: minutes that nobody asked for
    )

    spare_room = False  # a step masks what is not in use, and reads it

    _length: int

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        from tuibench.engines.torch.step_code import prepare_code

        return prepare_code(model_dir, progress)

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        from tuibench.engines.torch.step_code import use_code

        use_code(model_dir)
        info = super().load(model_dir, n_threads, progress)
        return replace(info, facts={**info.facts, "step": "compiled by torch.compile (Inductor, C++), one graph"})

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        self._begin_static(max_length)
        return self.extend(token_ids)

    def decode(self, token_id: int) -> Logits:
        import torch

        with torch.inference_mode():
            self._token[0, 0] = token_id
            self._position[0, 0] = self._length
            logits = self._step(self._token, self._position, self._cache)
        self._length += 1
        row: Logits = logits[0, -1].numpy()
        return row

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """See `ExtendingEngine`."""
        import torch

        positions = torch.arange(self._length, self._length + len(token_ids))[None]
        self._length += len(token_ids)
        with torch.inference_mode():
            return self._last_logits(self._pass(torch.tensor([list(token_ids)]), positions, self._cache))

    def keep(self, n_kept: int, max_length: int) -> bool:
        """See `ContinuingEngine`."""
        if max_length != self._max_length:
            return False
        if behind := self._length - n_kept:
            self._cache.crop(-behind)
            self._length = n_kept
        return True

    @property
    def why_alone(self) -> str | None:
        """See `BatchEngine`."""
        return "its step is compiled for one sequence"

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Return the logits token by token: only the step of one token is the compiled one."""
        return score_by_decoding(self, token_ids)

    def _finish(self) -> None:
        """Compile the step, and have it refuse to be compiled again: that would be measured.

        Raises:
            UnsupportedModelError: PyTorch cannot compile it as one graph for all lengths.
        """
        import torch

        self._refuse_what_grows()
        self._token, self._position = (torch.zeros(1, 1, dtype=torch.long) for _ in range(2))
        self._step = torch.compile(lambda *inputs: self._pass(*inputs).logits, dynamic=True, fullgraph=True)
        try:
            self._begin_static(_FIRST_CAPACITY)
            self.extend(self.first_steps.token_ids[:1])
            self.decode(self.first_steps.token_ids[1])
            torch.compiler.set_stance("fail_on_recompile")
            error = self.first_steps.decoding_error(self.prefill, self.decode)
        except FORWARD_ERRORS as fault:
            raise_if_out_of_memory(fault)
            raise UnsupportedModelError(
                f"torch.compile makes no single graph of {self._model.config.model_type}: {one_line(fault)}"
            ) from fault
        if error > self.most_nats:
            raise UnsupportedModelError(
                f"{self._model.config.model_type} comes out differently when compiled (by {error:.2g} nats)"
            )

    def _refuse_what_grows(self) -> None:
        from transformers.cache_utils import StaticCache, StaticLayer

        kind = self._model.config.model_type
        takes_positions = "position_ids" in inspect.signature(self._model.forward).parameters
        if self.plain_call is None or not takes_positions:
            raise UnsupportedModelError(f"{kind} keeps more of a text than keys and values; kv-cache runs it")
        layers = StaticCache(config=self._model.config, max_cache_len=_FIRST_CAPACITY).layers
        if any(type(layer) is not StaticLayer for layer in layers):
            raise UnsupportedModelError(
                f"{kind} has layers that do not look back at all tokens, whose caches move: each move would be "
                "compiled anew; kv-cache runs it"
            )

    def _begin_static(self, max_length: int) -> None:
        from transformers.cache_utils import StaticCache

        self._length, self._max_length = 0, max_length
        self._cache: Any = StaticCache(config=self._model.config, max_cache_len=max(max_length, 2))

    def _pass(self, token_ids: Any, positions: Any, cache: Any) -> Any:  # noqa: ANN401 - PyTorch's and transformers' own
        return self._model(
            input_ids=token_ids, position_ids=positions, cache=cache, use_cache=True, **self._forward_options
        )

    def close(self) -> None:
        """Free the model, and let others of this process compile again."""
        import torch

        torch.compiler.set_stance("default")
        super().close()
