"""onnxruntime-genai as methods, one a precision."""

from __future__ import annotations

import json
from abc import ABC
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Progress, UnsupportedModelError
from tuibench.engines.score_by_decoding import score_by_decoding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits
    from tuibench.engines.runtimes.genai.graphs import Precision

RUNTIME = "genai"
_ROOM_TOKENS = 256
"""The cache is made for a multiple of so many tokens."""


class _Genai(ABC):
    method: ClassVar[Method]
    precision: ClassVar[Precision]
    spare_room = False  # it sets a whole cache aside; that it leaves what is not needed alone is not known

    def __init__(self) -> None:
        self._model: Any = None
        self._generator: Any = None
        self._room = 0
        self._context_window: int | None = None
        self._rewinds = True

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        from tuibench.engines.runtimes.genai.graphs import prepare_graph

        return prepare_graph(model_dir, self.precision, progress)

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        progress("loading the graph", 0, None)
        import onnxruntime_genai as genai

        from tuibench.engines.decoder.checkpoint import Checkpoint
        from tuibench.engines.decoder.read import read_decoder
        from tuibench.engines.runtimes.genai.graphs import find_graph

        graph, sizes = find_graph(model_dir, self.precision)
        config = genai.Config(str(graph.directory))
        options = {"session_options": {"intra_op_num_threads": n_threads}}
        config.overlay(json.dumps({"model": {"decoder": options}}))
        try:
            self._model = genai.Model(config)
        except RuntimeError as error:  # its only exception
            raise UnsupportedModelError(f"onnxruntime-genai cannot load what its builder wrote: {error}") from error
        decoder = read_decoder(model_dir)
        windows = [attention.window for attention in decoder.caching.values()]
        # Where all layers have one, its cache slides as a whole, and logits are others from the next token on. Keys
        # that it has rotated stay as they are when a text becomes long enough to be rotated otherwise.
        self._context_window = decoder.text_limit(by_window=None not in windows, by_rotation=True)
        self._rewinds = not any(windows) and not decoder.convolving
        self._reset(_ROOM_TOKENS)
        dtype = self._generator.get_input(f"past_key_values.{next(iter(decoder.caching))}.key").dtype
        return EngineInfo(
            parameters=Checkpoint(model_dir, decoder).parameters,
            artifact_bytes=graph.disk_bytes,
            weight_bytes=sizes.weight_bytes,
            context_window=self._context_window,
            facts={
                "weights": "the model's, in the graph that onnxruntime-genai's own builder writes, with its defaults",
                "products": sizes.products,
                "KV-cache": f"K {_type_name(dtype)}, V {_type_name(dtype)}",
                **_facts(n_threads),
            },
            kv_cache=decoder.kv_cache(dtype.itemsize),
        )

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        self._reset(max(max_length, len(token_ids)))
        return self._append(token_ids)

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """See `ExtendingEngine`."""
        return self._append(token_ids)

    def keep(self, n_kept: int, max_length: int) -> bool:
        """See `ContinuingEngine`."""
        if max_length > self._room or not self._rewinds:
            return False
        self._generator.rewind_to(n_kept)
        return True

    def decode(self, token_id: int) -> Logits:
        return self._append((token_id,))

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        if self.precision != "fp32":
            yield from score_by_decoding(self, token_ids)
            return
        from tuibench.engines.decoder.description import SCORED_TOKENS

        self._reset(len(token_ids))
        for start in range(0, len(token_ids), SCORED_TOKENS):
            self._append(token_ids[start : start + SCORED_TOKENS])
            yield self._generator.get_output("logits")[0]

    def close(self) -> None:
        self._generator = self._model = None

    def _reset(self, n_tokens: int) -> None:
        """Forget everything, and see that there is room for so many tokens."""
        if self._generator is not None and n_tokens <= self._room and self._rewinds:
            self._generator.rewind_to(0)
            return
        import onnxruntime_genai as genai

        room = -(-n_tokens // _ROOM_TOKENS) * _ROOM_TOKENS
        self._room = room if self._context_window is None else max(min(room, self._context_window), n_tokens)
        parameters = genai.GeneratorParams(self._model)
        parameters.set_search_options(do_sample=False, max_length=self._room)
        self._generator = genai.Generator(self._model, parameters)

    def _append(self, token_ids: Sequence[int]) -> Logits:
        import numpy as np

        self._generator.append_tokens(np.asarray(token_ids, dtype=np.int32))
        found: Logits = self._generator.get_logits()[0, -1]
        return found


def _facts(n_threads: int) -> dict[str, str]:
    from importlib.metadata import version

    from tuibench.machine.cpu import instruction_sets

    return {
        "instruction sets": f"{' '.join(instruction_sets()) or 'unknown'} (chosen at run time)",
        "threads": str(n_threads),
        "runtime": f"onnxruntime-genai {version('onnxruntime-genai')}, onnxruntime {version('onnxruntime')}",
    }


def _type_name(dtype: np.dtype[Any]) -> str:
    return {"float32": "FP32", "float16": "FP16"}.get(dtype.name, dtype.name)


class GenaiFp32(_Genai):
    """Weights in FP32."""

    precision = "fp32"
    method = Method(
        id="genai-fp32",
        title="onnxruntime-genai, FP32",
        explanation="onnxruntime-genai on the graph that its own builder writes of the same weights, FP32",
        parent=None,
        precision="fp32",
        requires=("onnxruntime_genai",),
        runtime=RUNTIME,
    )


class GenaiInt4(_Genai):
    """INT4 in blocks of 32, the head and the embedding, too."""

    precision = "int4"
    method = Method(
        id="genai-int4",
        title="onnxruntime-genai, INT4",
        explanation="onnxruntime-genai on the graph that its own builder writes, INT4 in blocks, rounded to nearest",
        parent=None,
        precision="int4",
        requires=("onnxruntime_genai",),
        runtime=RUNTIME,
    )
