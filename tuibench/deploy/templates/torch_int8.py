"""The model in this folder under PyTorch, every linear layer in dynamic INT8."""

import kv_cache
from int8_layers import choose_kernels, linear_from_conv1d, quantise


class Model(kv_cache.Model):
    """Decodes token by token with a KV-cache; the weights are quantised when they are loaded."""

    def _adapt(self):
        if choose_kernels() is None:
            raise SystemExit("this build of PyTorch has no INT8 kernels for this processor")
        linear_from_conv1d(self._model)
        quantise(self._model)
