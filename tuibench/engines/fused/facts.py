"""What decides the speed of the fused methods on this machine, in words."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo
from tuibench.engines.fused.buffers import GROUP, TILE_COLUMNS
from tuibench.engines.fused.machine_code import CACHE_FOLDER
from tuibench.engines.fused.matrices import FP32_BYTES, INT4_BLOCK, LANES
from tuibench.engines.fused.model import weight_bytes
from tuibench.engines.fused.session import FusedSession
from tuibench.machine.cpu import instruction_sets
from tuibench.models.folder import weight_files

_WEIGHTS = {
    "fp32": "exact; last bytes that are zero in a whole layer are left out",
    "int8": "symmetric, one scale per row; activations INT16, sums INT32",
    "int4": f"asymmetric, scale and minimum per {INT4_BLOCK} weights; activations INT16, sums INT32 per block",
}


def describe(method: Method, session: FusedSession, parameters: int, model_dir: Path) -> EngineInfo:
    """Return the facts of a loaded session."""
    exact = method.precision == "fp32"
    facts = {
        "precision": method.precision.upper(),
        "weights": _WEIGHTS[method.precision],
        "KV-cache": "FP32" if exact else "INT8, one scale per position and KV head",
        "kernels": f"compiled by numba {version('numba')}, one call a token, {_barriers(session)} barriers a layer",
        "instruction sets": " ".join(instruction_sets()) or "unknown",
        "threads": str(session.n_workers),
        "prefill": f"{GROUP} tokens by {LANES} rows, in FP32 {TILE_COLUMNS}, at a time; no library",
    }
    if (experts := session.decoder.experts) is not None:
        facts["experts"] = f"{experts.n_active} of {experts.n_experts} are read for a token"
    if session.decoder.convolving:
        facts["convolutions"] = "what they read again is kept in FP32, a row a position"
    if CACHE_FOLDER is None:
        facts["notice"] = "the cache folder cannot be written: kernels are compiled anew at every start"
    return EngineInfo(
        parameters=parameters,
        artifact_bytes=sum(path.stat().st_size for path in weight_files(model_dir, model_dir.name)),
        weight_bytes=weight_bytes(session.model),
        context_window=session.decoder.context_window,
        kv_cache=session.decoder.kv_cache(*(FP32_BYTES, 0) if exact else (1, FP32_BYTES), row_bytes=FP32_BYTES),
        facts=facts,
    )


def _barriers(session: FusedSession) -> int:
    """Return how often workers wait for each other in a layer of a decoded token; see `decode`."""
    vectors, shape, layers = session.model.vectors, session.model.shape, session.model.layers
    extra = [norm.size > 0 for norm in (vectors.attention_out_norm, vectors.mlp_down_norm)]
    extra += [bool((layers.query_norms > layers.head_dims).any()), shape.n_experts > 0]
    return 5 + sum(extra) + (3 if shape.layer_input else 0)
