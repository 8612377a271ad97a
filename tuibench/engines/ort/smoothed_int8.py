"""`int8-dynamic`: INT8 weights in blocks, activations quantised as they come, their outliers moved into the weights."""

from __future__ import annotations

from pathlib import Path

from tuibench.engines.base import Progress
from tuibench.engines.ort.assemble import lay_out, try_graph
from tuibench.engines.ort.calibration import Calibration, calibration_chunks, calibration_notes
from tuibench.engines.ort.checkpoint import Checkpoint
from tuibench.engines.ort.decoder import read_decoder
from tuibench.engines.ort.projections import BlockwiseProjection
from tuibench.engines.ort.recipes import Smoothed
from tuibench.engines.ort.smoothing import smoothed


def write_smoothed(
    options: Smoothed, fused: Path, model_dir: Path, directory: Path, progress: Progress, n_threads: int
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
    text = Path(options.calibration)
    chunks = calibration_chunks(text, model_dir, options.n_tokens, decoder.vocabulary)
    calibration = Calibration(fused, decoder, chunks, n_threads)
    largest = calibration.largest_by_channel(progress)
    by_product = {product: largest[value] for product, value in calibration.inputs.items()}
    checkpoint, divisors = smoothed(Checkpoint(model_dir), decoder, by_product, options.smoothing)
    how = f"outliers of {len(divisors)} products moved into the weights (alpha {options.smoothing:g})"
    notes = calibration_notes(text, chunks, how)
    del calibration  # the FP32 weights of its session
    lay_out(decoder, checkpoint, directory, BlockwiseProjection(8, options.block), {}, progress=progress, notes=notes)
    try_graph(directory, decoder, progress)
