"""CTranslate2 as methods, one a precision."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from abc import ABC
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Progress, UnsupportedModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits
    from tuibench.engines.runtimes.ctranslate2.files import Precision
    from tuibench.engines.runtimes.ctranslate2.generation import Generation

RUNTIME = "ctranslate2"


class _CTranslate2(ABC):
    """One generation at a time, which picks its own tokens and is followed as long as they are those asked for."""

    method: ClassVar[Method]
    precision: ClassVar[Precision]
    activations: ClassVar[str]
    _first_log: ClassVar[str] = ""
    """What the library said of the machine, once a process."""

    def __init__(self) -> None:
        self._generator: Any = None
        self._generation: Generation | None = None
        self._text: list[int] = []
        self._picked = 0
        """What it goes on with."""
        self._max_length = 0
        self._banned: Collection[int] = ()

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        from tuibench.engines.runtimes.ctranslate2.files import prepare_files

        return prepare_files(model_dir, self.precision, progress)

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        progress("loading the files", 0, None)
        import logging

        import ctranslate2

        from tuibench.engines.decoder.checkpoint import Checkpoint
        from tuibench.engines.decoder.read import read_decoder
        from tuibench.engines.runtimes.ctranslate2.files import compute_type, find_files

        files, sizes = find_files(model_dir, self.precision)
        wanted = compute_type(self.precision)
        ctranslate2.set_log_level(logging.INFO)  # it tells nowhere else what it computes with
        try:
            self._generator, log = _listened(
                lambda: ctranslate2.Generator(
                    str(files.directory), device="cpu", compute_type=wanted, intra_threads=n_threads, inter_threads=1
                )
            )
        except (RuntimeError, ValueError) as error:  # a CPU without this type is a ValueError
            raise UnsupportedModelError(f"CTranslate2 cannot load what its converter wrote: {error}") from error
        ctranslate2.set_log_level(logging.WARNING)
        decoder = read_decoder(model_dir)
        return EngineInfo(
            parameters=Checkpoint(model_dir, decoder).parameters,
            artifact_bytes=files.disk_bytes,
            weight_bytes=sizes.weight_bytes,
            # Of a prompt longer than a window it computes something else, token by token it does not.
            context_window=decoder.text_limit(by_window=True),
            facts={
                "weights": "the model's, in the file that CTranslate2's own converter writes",
                "KV-cache": "K FP32, V FP32",
                "computes in": self._generator.compute_type,
                "activations": self.activations,
                **self._computing(log),
                "threads": str(n_threads),
                "memory": "it keeps the logits of all steps until an answer has ended",
                "runtime": f"ctranslate2 {ctranslate2.__version__}",
            },
            kv_cache=decoder.kv_cache(4, by_window=False),
        )

    def pick_without(self, banned: Collection[int]) -> None:
        self._banned = banned

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        self._text, self._max_length = list(token_ids), max(max_length, len(token_ids))
        self._begin(one_by_one=False)
        return self._step()

    def decode(self, token_id: int) -> Logits:
        self._text.append(token_id)
        if token_id != self._picked:
            self._begin(one_by_one=True)
            for _ in self._text[1:]:
                self._step()
        return self._step()

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        import numpy as np

        from tuibench.engines.decoder.description import SCORED_TOKENS

        # Activations are rounded row by row, at once as one by one: the numbers are those of decoding.
        self._end()
        logits = np.asarray(self._generator.forward_batch([list(token_ids)]))[0]
        for start in range(0, len(token_ids), SCORED_TOKENS):
            yield logits[start : start + SCORED_TOKENS]

    def close(self) -> None:
        self._end()
        self._generator = None

    def _computing(self, log: str) -> dict[str, str]:
        """Return what the library said that it computes with, when it loaded its first model."""
        _CTranslate2._first_log = _CTranslate2._first_log or log

        def after(words: str) -> str:
            found = re.search(rf"{words}: (.+)", self._first_log)
            return found[1].strip() if found else "unknown"

        in_int8 = f", INT8 by {after('GEMM_S8 backend')}" if self.precision == "int8" else ""
        return {
            "products": f"FP32 by {after('SGEMM backend')}{in_int8}",
            "instruction sets": f"{after('Selected ISA')} (chosen at run time)",
        }

    def _begin(self, *, one_by_one: bool) -> None:
        from tuibench.engines.runtimes.ctranslate2.generation import Generation

        self._end()
        n_steps = self._max_length - len(self._text) + 1
        self._generation = Generation(
            self._generator.generate_batch, self._text, n_steps, banned=self._banned, one_by_one=one_by_one
        )

    def _step(self) -> Logits:
        import numpy as np

        assert self._generation is not None  # noqa: S101 - the protocol prefills first
        step = self._generation.step()
        self._picked = step.picked
        logits: Logits = np.array(step.logits, dtype=np.float32)[0]
        return logits

    def _end(self) -> None:
        if self._generation is not None:
            self._generation.stop()
            self._generation = None


def _listened(call: Callable[[], Any]) -> tuple[Any, str]:
    """Return what a call gave, and what native code wrote to standard error meanwhile, which goes there after."""
    stderr = sys.__stderr__.fileno() if sys.__stderr__ is not None else 2
    kept = os.dup(stderr)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), stderr)
        try:
            result = call()
        finally:
            os.dup2(kept, stderr)
            os.close(kept)
            file.seek(0)
            log = file.read()
            os.write(stderr, log)
    return result, log.decode(errors="replace")


class CTranslate2Fp32(_CTranslate2):
    """Weights in FP32."""

    precision = "fp32"
    activations = "not quantised"
    method = Method(
        id="ctranslate2-fp32",
        title="CTranslate2, FP32",
        explanation="CTranslate2 on the same weights as its own converter writes them, FP32",
        parent=None,
        precision="fp32",
        requires=("ctranslate2",),
        runtime=RUNTIME,
    )


class CTranslate2Int8(_CTranslate2):
    """INT8, one scale per output, the embedding, too."""

    precision = "int8"
    activations = "quantised to INT8 token by token"
    method = Method(
        id="ctranslate2-int8",
        title="CTranslate2, INT8",
        explanation="CTranslate2 on the same weights in INT8, one scale per output, as its own converter writes them",
        parent=None,
        precision="int8",
        requires=("ctranslate2",),
        runtime=RUNTIME,
    )
