"""OpenVINO as methods, one a precision."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Progress
from tuibench.engines.score_by_decoding import score_by_decoding

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov
    from numpy.typing import NDArray

    from tuibench.core.run.kv_cache import KvCacheSize
    from tuibench.engines.base import Logits
    from tuibench.engines.decoder.description import Decoder
    from tuibench.engines.runtimes.openvino.files import Precision

RUNTIME = "openvino"
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
"""Without the second, the cache may be in 8 bits; without the first, products in BF16 where a CPU has them."""
_TYPE_BYTES = {"FP32": 4, "FP16": 2, "BF16": 2, "U8": 1, "I8": 1}
_SCALE_BYTES = 8
"""Scale and zero point of what is kept in 8 bits."""


class _OpenVino(ABC):
    method: ClassVar[Method]
    precision: ClassVar[Precision]
    weights = "the model's, in a graph laid out as optimum-intel exports one, compressed by NNCF with its defaults"
    properties: ClassVar[dict[str, Any]] = {}
    """Besides threads and latency; the runtime's own defaults elsewhere."""

    def __init__(self) -> None:
        self._request: ov.InferRequest | None = None
        self._n_read = 0

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        from tuibench.engines.runtimes.openvino.files import prepare_model

        return prepare_model(model_dir, self.precision, progress)

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        progress("compiling the model", 0, None)
        import openvino

        from tuibench.engines.decoder.checkpoint import Checkpoint
        from tuibench.engines.decoder.read import read_decoder
        from tuibench.engines.runtimes.openvino.files import MODEL, find_model, libraries

        files = find_model(model_dir, self.precision)
        model = openvino.Core().read_model(files.directory / MODEL)
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": n_threads, **self.properties}
        compiled = openvino.compile_model(model, "CPU", settings)
        self._request = compiled.create_infer_request()
        decoder = read_decoder(model_dir)
        weights = Checkpoint(model_dir, decoder)
        return EngineInfo(
            parameters=weights.parameters,
            artifact_bytes=files.disk_bytes,
            weight_bytes=_weight_bytes(model),
            context_window=decoder.text_limit(by_rotation=True),  # the graph has the angles of shorter texts
            facts={"weights": self.weights, **_facts(compiled, libraries(self.precision))},
            kv_cache=_kv_cache(compiled, decoder),
        )

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        del max_length  # its cache grows
        self._forget()
        return self.extend(token_ids)

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """See `ExtendingEngine`."""
        last: Logits = self._append(token_ids)[-1]
        return last

    def decode(self, token_id: int) -> Logits:
        return self.extend((token_id,))

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        if self.precision != "fp32":
            yield from score_by_decoding(self, token_ids)
            return
        from tuibench.engines.decoder.description import SCORED_TOKENS

        self._forget()
        for start in range(0, len(token_ids), SCORED_TOKENS):
            yield self._append(token_ids[start : start + SCORED_TOKENS])

    def _forget(self) -> None:
        assert self._request is not None  # noqa: S101 - the protocol loads first
        self._request.reset_state()
        self._n_read = 0

    def close(self) -> None:
        self._request = None

    def _append(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens, and return the logits after each: `[tokens, vocabulary]`, in the runtime's own memory."""
        import numpy as np

        assert self._request is not None  # noqa: S101 - the protocol loads first
        end = self._n_read + len(token_ids)
        outputs = self._request.infer(
            {
                "input_ids": np.array([token_ids], dtype=np.int64),
                "attention_mask": np.ones((1, end), dtype=np.int64),
                "position_ids": np.arange(self._n_read, end, dtype=np.int64)[None],
                "beam_idx": np.zeros(1, dtype=np.int32),
            },
            share_inputs=True,
            share_outputs=True,
        )
        self._n_read = end
        found: NDArray[np.float32] = outputs[0][0]
        return found


def _type_of(compiled: ov.CompiledModel, name: str) -> str:
    """Return the type that a property tells, as the plug-in settled it."""
    told: str = compiled.get_property(name).get_type_name()
    return {"f32": "FP32", "f16": "FP16", "bf16": "BF16"}.get(told, told.upper())


def _facts(compiled: ov.CompiledModel, libraries: Sequence[str]) -> dict[str, str]:
    from tuibench.machine.cpu import instruction_sets
    from tuibench.models.artifacts import versions_of

    group = compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")
    kinds = {node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ops()}
    fused = sorted(kinds & {"RMS", "RoPE", "ScaledDotProductAttention", "LLMMLP", "QKVProjection"})
    return {
        "KV-cache": f"K {_type_of(compiled, 'KEY_CACHE_PRECISION')}, V {_type_of(compiled, 'VALUE_CACHE_PRECISION')}",
        "computes in": _type_of(compiled, "INFERENCE_PRECISION_HINT"),
        "activations": f"quantised in groups of {group} where weights are compressed" if group else "not quantised",
        "fused": ", ".join(fused) or "nothing",
        "instruction sets": f"{' '.join(instruction_sets()) or 'unknown'} (chosen at run time)",
        "threads": str(compiled.get_property("INFERENCE_NUM_THREADS")),
        "runtime": ", ".join(f"{name} {version}" for name, version in versions_of(*libraries).items()),
    }


def _weight_bytes(model: ov.Model) -> int:
    """Return the bytes of all constants but of those that only a look-up reads, which takes a row of them."""
    return sum(
        constant.get_byte_size()
        for constant in model.get_ops()
        if constant.get_type_name() == "Constant" and not _is_table(constant)
    )


def _is_table(node: ov.Node) -> bool:
    """Return whether a look-up, and nothing else, reads what comes of a node."""
    readers = [target for output in node.outputs() for target in output.get_target_inputs()]
    return bool(readers) and all(
        (reader.get_node().get_type_name() == "Gather" and reader.get_index() == 0)
        or (
            reader.get_node().get_type_name() in {"Convert", "Multiply", "Subtract", "Reshape"}
            and _is_table(reader.get_node())
        )
        for reader in readers
    )


def _kv_cache(compiled: ov.CompiledModel, decoder: Decoder) -> KvCacheSize | None:
    value_bytes = _TYPE_BYTES.get(_type_of(compiled, "KEY_CACHE_PRECISION"))
    if value_bytes is None:
        return None
    return decoder.kv_cache(value_bytes, _SCALE_BYTES if value_bytes == 1 else 0, by_window=False)


class OpenVinoFp32(_OpenVino):
    """Weights, activations and KV-cache in FP32."""

    precision = "fp32"
    properties = _EXACT
    weights = "the model's, in a graph laid out as optimum-intel exports one"
    method = Method(
        id="openvino-fp32",
        title="OpenVINO, FP32",
        explanation="OpenVINO on the same weights, everything in FP32, its KV-cache, too",
        parent=None,
        precision="fp32",
        requires=("openvino",),
        runtime=RUNTIME,
    )


class OpenVinoInt8(_OpenVino):
    """INT8, one scale per output."""

    precision = "int8"
    method = Method(
        id="openvino-int8",
        title="OpenVINO, INT8",
        explanation="OpenVINO on the same weights in INT8, one scale per output, as NNCF compresses them",
        parent=None,
        precision="int8",
        requires=("openvino", "nncf"),
        runtime=RUNTIME,
    )


class OpenVinoInt4(_OpenVino):
    """INT4 in blocks of at most 128, the head and the embedding in INT8."""

    precision = "int4"
    method = Method(
        id="openvino-int4",
        title="OpenVINO, INT4",
        explanation="OpenVINO on the same weights in blocks of INT4, its head in INT8, as NNCF compresses them",
        parent=None,
        precision="int4",
        requires=("openvino", "nncf"),
        runtime=RUNTIME,
    )
