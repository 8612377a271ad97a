"""`int8-static`: QuantizeLinear and DequantizeLinear around the products, with ranges from a calibration text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.ort.graph.assemble import lay_out, try_graph
from tuibench.engines.ort.graph.experts import BlockwiseExperts
from tuibench.engines.ort.graph.projections import BlockwiseProjection, Projection, StaticProjection
from tuibench.engines.ort.quantise.calibration import Calibration, Magnitudes, pick_range
from tuibench.engines.ort.quantise.smoothing import smooth
from tuibench.engines.ort.recipes import Static

_BLOCK = 32
_TINY = 1e-30
_KEPT = BlockwiseProjection(8, _BLOCK)


def write_static(
    options: Static, fused: Path, model_dir: Path, directory: Path, progress: Progress, n_threads: int
) -> None:
    """Calibrate on the FP32 graph, then write the INT8 one.

    Args:
        options: Text and choices.
        fused: Files of the fused FP32 graph.
        model_dir: The model.
        directory: Where to write.
        progress: Told of the phases.
        n_threads: For the calibration.

    Raises:
        CalibrationError: The text cannot be read, or is too short.
        ArtifactError: The finished graph gives no finite numbers.
    """
    decoder = read_decoder(model_dir)
    calibration = Calibration(options, fused, model_dir, decoder, n_threads)
    smoothing = smooth(calibration, Checkpoint(model_dir, decoder), decoder, options.smoothing, progress)
    divisors = {calibration.inputs[product]: by for product, by in smoothing.divisors.items()}
    seen = calibration.magnitudes(smoothing.largest, divisors, progress)
    special = _projections(options, {product: seen[value] for product, value in calibration.inputs.items()})
    notes = {
        **calibration.notes(options.ranges),
        "smoothing": f"alpha {options.smoothing:g}, {len(divisors)} products" if divisors else "none",
        "kept in blocks": _kept(special),
    }
    del calibration  # the FP32 weights of its session
    experts = BlockwiseExperts(8, _BLOCK)
    lay_out(decoder, smoothing.checkpoint, directory, _KEPT, experts, special, progress=progress, notes=notes)
    try_graph(directory, decoder, progress)


def _projections(options: Static, seen: dict[str, Magnitudes]) -> dict[str, Projection]:
    chosen: dict[str, Projection] = {}
    for product, magnitudes in seen.items():
        projection = StaticProjection(pick_range(magnitudes, options.ranges, options.percentile))
        # Rounding to steps of size d gives a mean square error of d²/12.
        noise = projection.step**2 / 12 / max(magnitudes.typical, _TINY)
        # The head decides the answer, and its input varies most from token to token.
        chosen[product] = _KEPT if noise > options.max_noise or product == "head" else projection
    return chosen


def _kept(chosen: dict[str, Projection]) -> str:
    kinds = Counter(product.rpartition(".")[2] for product, how in chosen.items() if how is _KEPT)
    names = ", ".join(f"{kind} × {count}" for kind, count in sorted(kinds.items()))
    return f"{names or 'none'}; ranges found while decoding, blocks of {_BLOCK}"
