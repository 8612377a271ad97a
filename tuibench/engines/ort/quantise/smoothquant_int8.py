"""`int8-dynamic`: INT8 weights in blocks, activations quantised as they come, their outliers moved into the weights."""

from __future__ import annotations

from pathlib import Path

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.ort.graph.assemble import lay_out, try_graph
from tuibench.engines.ort.graph.experts import BlockwiseExperts
from tuibench.engines.ort.graph.projections import BlockwiseProjection
from tuibench.engines.ort.quantise.calibration import Calibration
from tuibench.engines.ort.quantise.smoothing import smooth
from tuibench.engines.ort.recipes import SmoothQuant


def write_smoothquant(
    options: SmoothQuant, fused: Path, model_dir: Path, directory: Path, progress: Progress, n_threads: int
) -> None:
    """Find the outliers with the FP32 graph, then write the INT8 one.

    Args:
        options: Text and choices.
        fused: Files of the fused FP32 graph.
        model_dir: The model.
        directory: Where to write.
        progress: Told of the phases.
        n_threads: For reading the text.

    Raises:
        CalibrationError: The text cannot be read, or is too short.
        ArtifactError: The finished graph gives no finite numbers.
    """
    decoder = read_decoder(model_dir)
    calibration = Calibration(options, fused, model_dir, decoder, n_threads)
    smoothing = smooth(calibration, Checkpoint(model_dir, decoder), decoder, options.smoothing, progress)
    n_moved = len(smoothing.divisors)
    notes = calibration.notes(f"outliers of {n_moved} products moved into the weights (alpha {options.smoothing:g})")
    del calibration  # the FP32 weights of its session
    products = BlockwiseProjection(8, options.block)
    experts = BlockwiseExperts(8, options.block)
    lay_out(decoder, smoothing.checkpoint, directory, products, experts, {}, progress=progress, notes=notes)
    try_graph(directory, decoder, progress)
