"""The model in this folder under ONNX Runtime: the graph as PyTorch exports it, graph optimisation off."""

import numpy as np
import onnxruntime as ort


class Model:
    """Decodes token by token. The KV-cache lies in buffers that are input and output at once."""

    def __init__(self, folder, settings, threads):  # noqa: ARG002
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        options.add_session_config_entry("session.dynamic_block_base", "2")
        self._session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self._past = [each for each in self._session.get_inputs() if each.name.startswith("past.")]

    def prefill(self, token_ids, max_length):
        """Forget everything, read a prompt, and return the logits that follow; `max_length` counts new tokens, too."""
        self._length, self._most = 0, max_length
        self._cache = {each.name: self._buffer(each, len(token_ids)) for each in self._past}
        return self._append(token_ids)

    def decode(self, token_id):
        """Append one token and return the logits that follow it."""
        return self._append([token_id])

    def _append(self, token_ids):
        start, self._length = self._length, self._length + len(token_ids)
        self._reserve()
        binding = self._session.io_binding()
        binding.bind_cpu_input("tokens", np.array([token_ids], np.int64))
        binding.bind_cpu_input("positions", np.arange(start, self._length)[None])
        binding.bind_cpu_input("kept", np.full(1, -1, np.int64))  # only the last position needs logits
        binding.bind_output("logits")
        for name, array in self._cache.items():
            value = ort.OrtValue.ortvalue_from_numpy(array)
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(name.replace("past", "present", 1), value)
        self._session.run_with_iobinding(binding)
        return binding.get_outputs()[0].numpy()[0, -1]

    def _reserve(self):
        """Grow the buffers now and then: each position in them is attended to, if only behind the mask."""
        if self._length <= self._cache[self._past[0].name].shape[self._axis(self._past[0])]:
            return
        for each in self._past:
            grown = self._buffer(each, min(self._length + 256, self._most))
            old = self._cache[each.name]
            grown[tuple(map(slice, old.shape))] = old
            self._cache[each.name] = grown

    def _buffer(self, value, capacity):
        shape = list(value.shape)
        shape[self._axis(value)] = capacity
        return np.zeros(shape, np.float32)

    @staticmethod
    def _axis(value):
        return next(axis for axis, size in enumerate(value.shape) if not isinstance(size, int))
