"""Runs with speeds and divergences that a test chooses."""

import random

from tests.scripted import FINISHED, record
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.run.record import QualityRecord

PARENTS = {"baseline": None, "kv-cache": "baseline", "onnx": "kv-cache", "onnx-fused": "onnx", "int8": "onnx-fused"}


def trials(method, tps, n=3, sigma=0.01, **changes):
    """Return measured trials whose decode speeds scatter around `tps`."""
    source = random.Random(method)
    return [
        record(method, index=i, step_ns=(round(1e9 / tps * source.lognormvariate(0, sigma)),) * 3, **changes)
        for i in range(n)
    ]


def quality(method, kld, **changes):
    return QualityRecord(
        method=method, eval_name="text", eval_sha256="0", kld_mean=kld, kld_mean_se=kld / 10, top1=0.97,
        finished=FINISHED, **changes,
    )  # fmt: skip


BY_DEPTH = {
    "window_tokens": 1024, "depths": (256, 512), "depth_klds": (0.001, 0.003), "depth_kld_ses": (0.0001, 0.0002),
    "depth_top1s": (0.99, 0.98),
}  # fmt: skip
"""Quality by context position."""


def measured(label="first", *, quality_of=(), **speeds_tps):
    named = {name.replace("_", "-"): tps for name, tps in speeds_tps.items()}
    records = [each for method, tps in named.items() for each in trials(method, tps)]
    return MeasuredRun(label, tuple(named), tuple(records), tuple(quality_of))
