"""The model in this folder under ONNX Runtime: one graph for the prompt and for every token after it."""

from pathlib import Path

import numpy as np
import onnxruntime as ort


class Model:
    """Decodes token by token. The KV-cache is one buffer, input and output at once: a step writes only its own row."""

    def __init__(self, folder, settings, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        options.add_session_config_entry("session.dynamic_block_base", "2")
        if not has_vnni():  # products of unsigned and signed bytes would saturate at 16 bits
            options.add_session_config_entry("session.x64quantprecision", "1")
        self._session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self._inputs = {each.name: each.shape for each in self._session.get_inputs()}
        self._logits = next(each for each in self._session.get_outputs() if not each.name.startswith("present."))
        self._rope = settings["rope"]

    def prefill(self, token_ids, max_length):
        """Forget everything, read a prompt, and return the logits that follow; `max_length` counts new tokens, too."""
        self._length, self._tables, self._cache = 0, {}, {}
        sizes = {"n_rows": 1, "capacity": max_length}
        for name, shape in self._inputs.items():
            if name.startswith("past."):
                room = np.zeros([sizes.get(size, size) for size in shape], np.float32)
                self._cache[name] = ort.OrtValue.ortvalue_from_numpy(room)
        for prefix, rope in self._rope.items():  # some models have a second one, for layers with a window
            angles = np.outer(np.arange(max_length, dtype=np.float32), np.float32(rope["frequencies"]))
            factors = np.float32(rope["factors"])
            self._tables |= {f"{prefix}cos": np.cos(angles) * factors, f"{prefix}sin": np.sin(angles) * factors}
        self._step = self._bound(1)
        return self._run(*self._bound(len(token_ids)), token_ids)

    def decode(self, token_id):
        """Append one token and return the logits that follow it."""
        return self._run(*self._step, [token_id])

    def _bound(self, n_tokens):
        """Bind everything once; the arrays are read at each run."""
        arrays = {
            "tokens": np.zeros((1, n_tokens), np.int64),
            "positions": np.zeros((1, n_tokens), np.int64),
            "kept": np.full(1, -1, np.int64),  # only the last position needs logits
            "last_index": np.zeros(1, np.int32),
            "total_length": np.zeros((), np.int32),
            **self._tables,
        }
        logits = np.empty((1, 1, self._logits.shape[-1]), np.float32)
        binding = self._session.io_binding()
        for name in arrays.keys() & self._inputs.keys():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(arrays[name]))
        binding.bind_ortvalue_output(self._logits.name, ort.OrtValue.ortvalue_from_numpy(logits))
        for name, value in self._cache.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(name.replace("past", "present", 1), value)
        return binding, arrays, logits

    def _run(self, binding, arrays, logits, token_ids):
        start, self._length = self._length, self._length + len(token_ids)
        arrays["tokens"][0] = token_ids
        arrays["positions"][0] = np.arange(start, self._length)
        arrays["last_index"][0], arrays["total_length"][()] = self._length - 1, self._length
        self._session.run_with_iobinding(binding)
        return logits[0, 0]


def has_vnni():
    """Return whether products of bytes add up in 32 bits on this processor."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and not {"avx_vnni", "avx512_vnni"}.isdisjoint(cpuinfo.read_text().split())
