"""The reference for a model whose FP32 form does not fit: weights are read from the file where a layer needs them.

FP32 holds every BF16 and FP16 number: widened layer by layer they give what the whole model in FP32 would give. A pass
reads the file once, so that as many positions go through a layer at once as a window has.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar

from tuibench.engines.torch.eager import KvCache

_HELD = "1MB"
"""Of weights that stay in memory: accelerate takes 0 for no limit."""


class StreamedKvCache(KvCache):
    """`kv-cache` for predictions, not for speed: accelerate lends each module its weights."""

    placement: ClassVar = MappingProxyType({"device_map": "auto", "max_memory": {"cpu": _HELD}})
    scored_tokens = 512
    told_of_reference = "FP32 activations; weights as the file stores them, read layer by layer"
    """For whoever stores what the predictions are."""

    def _finish(self) -> None:
        """Leave the modules alone: their calls fetch the weights."""
