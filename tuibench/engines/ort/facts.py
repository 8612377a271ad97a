"""What decides the speed of a graph on this machine, in words."""

from __future__ import annotations

from importlib.metadata import version

from tuibench.core import format as fmt
from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.ort.graph.info import GraphInfo, read_graph_info
from tuibench.machine.cpu import has_vnni, instruction_sets
from tuibench.models.artifacts import CachedArtifact

FUSED_OPERATORS = {
    "GroupQueryAttention": "attention, rotation and cache in one",
    "SkipSimplifiedLayerNormalization": "residual sum and RMS norm in one",
    "SkipLayerNormalization": "residual sum, bias and layer norm in one",
    "SimplifiedLayerNormalization": "RMS norm in one",
    "QuickGelu": "SiLU in one",
    "FastGelu": "bias and GELU in one",
    "MatMulNBits": "product with quantised weights",
    "MoE": "the experts that a token goes to in one",
    "QMoE": "the same with quantised weights",
}


def describe(
    method: Method, artifact: CachedArtifact, decoder: Decoder, n_threads: int, plain: CachedArtifact | None
) -> EngineInfo:
    """Return the facts of a loaded graph.

    Args:
        method: What runs it.
        artifact: Its files.
        decoder: The model.
        n_threads: Threads of the session.
        plain: The export that fusion started from, where it has been made.
    """
    info = read_graph_info(artifact.directory)
    facts = {
        "precision": method.precision.upper(),
        "runtime": f"onnxruntime {version('onnxruntime')}, CPU, {n_threads} threads",
        "weights read per token": f"{info.read_bytes / 1e6:.1f} MB",
        "instruction sets": " ".join(instruction_sets()) or "unknown",
        "products": _counts(info.products),
        "quantised": _share(info),
        **_experts(decoder),
        **_fusion(info, plain),
        **({"kernels per token": _counts(info.kernels)} if info.kernels else {}),
        **({} if method.precision == "fp32" else {"integer kernels": _integer_kernels(info)}),
        **info.notes,
    }
    return EngineInfo(
        parameters=info.parameters,
        artifact_bytes=artifact.disk_bytes,
        weight_bytes=info.read_bytes,
        context_window=decoder.context_window,
        # `GroupQueryAttention` keeps and multiplies every position on a CPU, whatever its window; so does the export.
        kv_cache=decoder.kv_cache(by_window=False),
        facts=facts,
    )


def _experts(decoder: Decoder) -> dict[str, str]:
    experts = decoder.experts
    return {} if experts is None else {"experts": f"{experts.n_active} of {experts.n_experts} are read for a token"}


def _integer_kernels(info: GraphInfo) -> str:
    """Say whether the quantised products really run in integers, and by which instructions."""
    left = info.kernels.get("DequantizeLinear", 0)
    if left:
        return f"fell back: {left} weights are made FP32 again for every token"
    if has_vnni():
        return "VNNI, no fall-back"
    return "no VNNI: both sides unsigned against saturation, no fall-back"


def _share(info: GraphInfo) -> str:
    total = info.quantised_weights + info.unquantised_weights
    return f"{fmt.percent(info.quantised_weights / total)} of the weights in matrix products"


def _fusion(info: GraphInfo, plain: CachedArtifact | None) -> dict[str, str]:
    fused = {name: count for name, count in info.nodes.items() if name in FUSED_OPERATORS}
    facts = {"nodes": _total(info), "fused operators": _counts(fused) or "none"}
    if plain is not None:
        facts["nodes before fusion"] = _total(read_graph_info(plain.directory))
    return facts


def _total(info: GraphInfo) -> str:
    return f"{sum(info.nodes.values())}: {_counts(info.nodes)}"


def _counts(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} × {count}" for name, count in ordered)
