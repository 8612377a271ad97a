"""llama.cpp's C interface, as far as decoding needs it, called in the library within the package xllamacpp.

That package offers a server, not logits; its library exports llama.cpp's functions all the same. Structures are laid
out as in `llama.h` of the pinned version, and their defaults are looked at before anything is passed.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from ctypes import (
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_float,
    c_int8,
    c_int32,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from functools import cache
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

_LOG = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)


class UnknownLayoutError(Exception):
    """The installed library is not of the version that this program knows."""


class ModelParameters(Structure):
    """`llama_model_params`."""

    _fields_ = (
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("use_extra_bufts", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    )


class ContextParameters(Structure):
    """`llama_context_params`."""

    _fields_ = (
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int32),
        ("rope_scaling_type", c_int32),
        ("pooling_type", c_int32),
        ("attention_type", c_int32),
        ("flash_attn_type", c_int32),
        ("rope_freq_base", c_float),
        ("rope_freq_scale", c_float),
        ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("moe_cache_size", c_size_t),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("embeddings", c_bool),
        ("offload_kqv", c_bool),
        ("no_perf", c_bool),
        ("op_offload", c_bool),
        ("swa_full", c_bool),
        ("kv_unified", c_bool),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    )


class Batch(Structure):
    """`llama_batch`."""

    _fields_ = (
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    )


_SIGNATURES: dict[str, tuple[Any, Sequence[Any]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (_LOG, c_void_p)),
    "llama_print_system_info": (c_char_p, ()),
    "ggml_version": (c_char_p, ()),
    "llama_model_default_params": (ModelParameters, ()),
    "llama_context_default_params": (ContextParameters, ()),
    "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParameters)),
    "llama_model_free": (None, (c_void_p,)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_model_n_ctx_train": (c_int32, (c_void_p,)),
    "llama_model_n_params": (c_uint64, (c_void_p,)),
    "llama_model_desc": (c_int32, (c_void_p, c_char_p, c_size_t)),
    "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
    "llama_init_from_model": (c_void_p, (c_void_p, ContextParameters)),
    "llama_free": (None, (c_void_p,)),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_memory_clear": (None, (c_void_p, c_bool)),
    "llama_memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    "llama_batch_get_one": (Batch, (POINTER(c_int32), c_int32)),
    "llama_decode": (c_int32, (c_void_p, Batch)),
    "llama_get_logits_ith": (POINTER(c_float), (c_void_p, c_int32)),
    "ggml_quantize_chunk": (
        c_size_t,
        (c_int32, c_void_p, c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, c_void_p),
    ),
}


class Library:
    """The loaded library; `functions` has its C functions by name."""

    def __init__(self, functions: ctypes.CDLL) -> None:
        self.functions: Any = functions
        self._heard: list[str] = []
        self._on_log = _LOG(lambda _, text, __: self._heard.append(text.decode(errors="replace")))

    @property
    def version(self) -> str:
        """Of the package and of ggml within it; the number after the last dot is llama.cpp's build."""
        how = ", compiled on this machine" if _compiled_here() else ""
        return f"xllamacpp {version('xllamacpp')}, ggml {self.functions.ggml_version().decode()}{how}"

    @property
    def instruction_sets(self) -> str:
        """Those that the library was compiled for, as it says itself."""
        told = self.functions.llama_print_system_info().decode()
        return " ".join(part.partition(" = ")[0].split()[-1] for part in told.split("|") if " = 1" in part)

    def listened(self, call: Callable[[], Any]) -> tuple[Any, str]:
        """Return what a call gave, and what the library logged meanwhile."""
        self._heard.clear()
        result = call()
        return result, "".join(self._heard)

    def listen(self) -> None:
        """Take what the library logs from now on, instead of standard error."""
        self.functions.llama_log_set(self._on_log, None)


@cache
def load_library() -> Library:
    """Load the library, once a process.

    Raises:
        ModuleNotFoundError: The package is not installed.
        UnknownLayoutError: It is of another version than this program knows.
    """
    import importlib.util

    found = importlib.util.find_spec("xllamacpp")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("xllamacpp is not installed", name="xllamacpp")
    path = next(Path(found.origin).parent.glob("xllamacpp*.so"))
    functions = ctypes.CDLL(str(path))
    try:
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(functions, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:
        raise UnknownLayoutError(f"xllamacpp {version('xllamacpp')} lacks a function: {error}") from error
    _check_layout(functions)
    library = Library(functions)
    library.listen()
    functions.llama_backend_init()
    return library


def _compiled_here() -> bool:
    """Return whether the package was not taken from an index, which takes no wheels for just any Linux."""
    wheel = distribution("xllamacpp").read_text("WHEEL") or ""
    return re.search(r"^Tag: \S+-linux_\w+$", wheel, re.MULTILINE) is not None


def _check_layout(functions: Any) -> None:  # noqa: ANN401 - ctypes' own
    """Look whether what the library fills in by default lies where this program would look for it."""
    context, model = functions.llama_context_default_params(), functions.llama_model_default_params()
    seen = (
        (context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max, context.flash_attn_type),
        (context.type_k, context.type_v, context.defrag_thold),
        (context.embeddings, context.offload_kqv, context.no_perf, context.op_offload, context.swa_full),
        (model.n_gpu_layers, model.split_mode, model.vocab_only, model.check_tensors, model.use_extra_bufts),
    )
    if seen != (
        (512, 2048, 512, 1, -1),
        (1, 1, -1.0),
        (False, True, True, True, True),
        (-1, 1, False, False, True),
    ):
        raise UnknownLayoutError(
            f"xllamacpp {version('xllamacpp')} is of another version than this program knows; "
            "`tuibench runtimes rm llama-cpp` and `tuibench runtimes add llama-cpp` install the one it does"
        )
