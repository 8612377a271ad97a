"""What a packed matrix stands for, spelled out in NumPy."""

import numpy as np

from tuibench.engines.fused.matrices import INT4_BLOCK, LANES, Fp32Matrix, Int8Matrix

_WORDS = INT4_BLOCK * LANES // 4


def stored_weights(matrix, n_outputs, n_inputs):
    """Return `[layers, outputs, inputs]` in FP32."""
    if isinstance(matrix, Fp32Matrix):
        rows = np.stack([_fp32_rows(*layer) for layer in zip(matrix.high_bytes, matrix.n_bytes, strict=True)])
    elif isinstance(matrix, Int8Matrix):
        pairs = matrix.codes.reshape(*matrix.codes.shape[:2], -1, LANES, 2).swapaxes(2, 3)
        rows = pairs.reshape(*pairs.shape[:3], -1) * matrix.scales[..., None]
    else:
        rows = _int4_rows(matrix.blocks)
    return np.ascontiguousarray(rows.reshape(len(rows), -1, rows.shape[-1])[:, :n_outputs, :n_inputs], np.float32)


def _fp32_rows(high_bytes, n_bytes):
    n_panels, n_inputs, _ = high_bytes.shape
    n_used = n_panels * n_inputs * LANES * n_bytes
    packed = high_bytes.reshape(-1)[:n_used].reshape(n_panels, n_inputs, LANES, n_bytes)
    whole = np.concatenate([np.zeros((*packed.shape[:3], 4 - n_bytes), np.uint8), packed], axis=3)
    return whole.view(np.float32)[..., 0].swapaxes(1, 2)


def _int4_rows(blocks):
    words = blocks[..., :_WORDS].reshape(*blocks.shape[:3], -1, LANES, 2)
    planes = np.stack([words >> 4 * plane & 15 for plane in range(4)], axis=-2)  # [..., 8 inputs, row, plane, pair]
    codes = planes.transpose(0, 1, 4, 2, 3, 5, 6).reshape(*blocks.shape[:2], LANES, blocks.shape[2], INT4_BLOCK)
    scales, minima = (
        blocks[..., start : start + LANES].view(np.float16).swapaxes(2, 3)[..., None].astype(np.float32)
        for start in (_WORDS, _WORDS + LANES)
    )
    rows = codes * scales + minima
    return rows.reshape(*rows.shape[:3], -1)
