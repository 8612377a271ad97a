"""Weights are written beside a graph without a second copy of the largest in memory."""

import tracemalloc

import numpy as np

from tuibench.engines.ort.graph import weights_file
from tuibench.engines.ort.graph.weights_file import WEIGHTS_FILE, WeightsFile


def test_a_transposed_matrix_is_written_as_it_is_read_and_copied_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(weights_file, "_COPIED_BYTES", 200_000)
    matrix = np.random.default_rng(0).normal(size=(1000, 1003)).astype(np.float32)
    small = np.arange(3, dtype=np.int64)
    with WeightsFile(tmp_path) as file:
        tracemalloc.start()
        starts = [file.append(each) for each in (small, matrix.T, matrix[:, ::2], matrix)]
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak_bytes < 2 * 200_000
    for start, each in zip(starts, (small, matrix.T, matrix[:, ::2], matrix), strict=True):
        stored = np.fromfile(tmp_path / WEIGHTS_FILE, each.dtype, each.size, offset=start)
        np.testing.assert_array_equal(stored.reshape(each.shape), each)
