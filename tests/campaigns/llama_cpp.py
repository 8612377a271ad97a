"""What the GGUF campaign asks of llama.cpp, in a process that has llama.cpp's converter and xllamacpp on its path.

    python llama_cpp.py JOBS.json

Not imported by tuibench's tests: the converter brings a `gguf` package of its own.
"""

import ctypes
import json
import logging
import sys
from pathlib import Path


def convert(folders):
    """Write FP32 GGUF files with llama.cpp's converter; what it refuses is returned by file."""
    import torch
    from conversion import get_model_class
    from conversion.base import ModelBase, gguf

    logging.disable(logging.WARNING)
    failed = {}
    for folder, out in folders:
        settings = ModelBase.load_hparams(Path(folder), is_mistral_format=False)
        # Two settings that the converter wants under the names of older transformers.
        settings.setdefault("n_ctx", settings.get("n_positions"))
        settings.setdefault("rotary_pct", (settings.get("rope_parameters") or {}).get("partial_rotary_factor"))
        converter = get_model_class(settings["architectures"][0])
        converter.set_vocab = _write_vocabulary
        try:
            with torch.inference_mode():
                model = converter(Path(folder), gguf.LlamaFileType.ALL_F32, Path(out), hparams=settings)
                model.write()
        except (KeyError, ValueError, NotImplementedError) as error:
            failed[out] = repr(error)
    return failed


def _write_vocabulary(self):
    """Write our byte-level vocabulary as it is: the converter knows tokenizers by a checksum, and ours is not one."""
    tokenizer = json.loads((self.dir_model / "tokenizer.json").read_text())
    ids = tokenizer["model"]["vocab"] | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    names = sorted(ids, key=ids.get)
    writer = self.gguf_writer
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types([3 if name.startswith("<|") else 1 for name in names])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)


_LEAST_LOG_PROBABILITY = -104.0
UNQUANTISED = ("norm", "bias", "conv", "ssm_a", "ssm_d", "rope_", "sinks", "position_embd", "ffn_gate_inp")
"""Nor does llama.cpp quantise them; a router in few bits sends rounded activations to other experts."""


def quantise(files):
    """Copy FP32 files with their matrices in all types that ggml writes, one after the other."""
    import gguf
    import numpy as np

    types = quantised_types()
    for source, out in files:
        reader = gguf.GGUFReader(source)
        writer = gguf.GGUFWriter(out, reader.get_field("general.architecture").contents())
        for field in reader.fields.values():
            if not field.name.startswith("GGUF.") and field.name != "general.architecture":
                item = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
                writer.add_key_value(field.name, field.contents(), field.types[0], item)
        turn = 0
        for tensor in reader.tensors:
            values = np.array(tensor.data)
            if values.ndim == 1 or any(part in tensor.name for part in UNQUANTISED) or values.shape[-1] % 256:
                writer.add_tensor(tensor.name, values)
                continue
            kind = types[turn % len(types)]
            turn += 1
            writer.add_tensor(tensor.name, _quantised(values, kind), raw_dtype=kind)
        for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
            step()
        writer.close()


def quantised_types():
    """Return all types that can be unpacked again and that ggml quantises to."""
    import gguf
    import numpy as np

    row = np.linspace(-1, 1, 256, dtype=np.float32)[None]
    found = []
    for kind in gguf.GGMLQuantizationType:
        try:
            gguf.dequantize(_quantised(row, kind), kind)
        except (NotImplementedError, ValueError):
            continue
        if kind.name != "F32":
            found.append(kind)
    return found


def _quantised(values, kind):
    import gguf
    import numpy as np

    if kind.name in {"F32", "F16", "BF16"}:
        return gguf.quantize(values, kind)
    if not hasattr(gguf.quants, kind.name):
        raise NotImplementedError(kind.name)
    _, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    rows = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), np.float32)
    shape = gguf.quant_shape_to_byte_shape(values.shape, kind)
    out = np.zeros(shape, np.uint8)
    weights = np.ones(rows.shape[-1], np.float32)  # an importance matrix that prefers nothing; some types need one
    written = _ggml().ggml_quantize_chunk(
        ctypes.c_int(kind.value), rows.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0), ctypes.c_int64(rows.shape[0]), ctypes.c_int64(rows.shape[1]),
        weights.ctypes.data_as(ctypes.c_void_p),
    )  # fmt: skip
    if written != out.nbytes:
        raise ValueError(f"{kind.name}: {written} bytes of {out.nbytes}, blocks of {block_bytes}")
    return out


def _ggml():
    import xllamacpp.xllamacpp

    library = ctypes.CDLL(xllamacpp.xllamacpp.__file__)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    return library


def logits(path, prompts, n_vocabulary):
    """Return llama.cpp's log-probabilities after each prompt; a text where it does not load the file.

    It aborts where it cannot compute: one process a file.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx, params.n_parallel, params.warmup, params.fit_params = 512, 1, False, False
    # One thread: two wait for each other, on a busy machine for minutes.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.cache_ram_mib, params.verbosity = 0, 0
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        return str(error)
    return [_after(server, prompt, n_vocabulary) for prompt in prompts]


def _after(server, prompt, n_vocabulary):
    """Return what comes after a prompt. The token is forced to a letter: half a character is not answered with any."""
    answer = server.handle_completions({
        "prompt": prompt, "n_predict": 1, "n_probs": n_vocabulary, "temperature": 0, "cache_prompt": False,
        "logit_bias": [[70, 1000.0]],
    })  # fmt: skip
    row = [0.0] * n_vocabulary
    for token in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
        # What is too unlikely for FP32 has no number; its logarithm is below that of the smallest one.
        row[token["id"]] = _LEAST_LOG_PROBABILITY if token["logprob"] is None else token["logprob"]
    return row


if __name__ == "__main__":
    path = Path(sys.argv[1])
    job, arguments = json.loads(path.read_text())
    answer = {"convert": convert, "quantise": quantise, "logits": logits}[job](*arguments)
    path.write_text(json.dumps(answer))
