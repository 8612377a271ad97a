"""A GGUF file loaded by llama.cpp: tokens in, logits out."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_int8, c_int32, c_void_p
from pathlib import Path

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.runtimes.llama_cpp.library import Batch, load_library


class Decoding:
    """A model and a context of it."""

    N_STEP = 256
    """Contexts grow by so many tokens."""

    def __init__(self, path: Path, n_threads: int) -> None:
        """Load a GGUF file.

        Raises:
            UnsupportedModelError: llama.cpp refuses it.
        """
        self.library = load_library()
        functions = self._functions = self.library.functions
        parameters = functions.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._n_threads = n_threads
        self._context: int | None = None
        self._n_context = 0
        self.log = ""
        """What the library said when it made the context."""
        self._model, log = self.library.listened(
            lambda: functions.llama_model_load_from_file(str(path).encode(), parameters)
        )
        if not self._model:
            raise UnsupportedModelError(f"llama.cpp cannot load {path.name}: {_reason(log)}")
        self.vocabulary: int = functions.llama_vocab_n_tokens(functions.llama_model_get_vocab(self._model))

    @property
    def context_window(self) -> int:
        """Tokens that the model was made for."""
        return int(self._functions.llama_model_n_ctx_train(self._model))

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(self._functions.llama_model_n_params(self._model))

    @property
    def description(self) -> str:
        """As llama.cpp names the model: architecture, size, file type."""
        text = ctypes.create_string_buffer(256)
        self._functions.llama_model_desc(self._model, text, len(text))
        return text.value.decode(errors="replace")

    def begin(self, n_tokens: int) -> None:
        """Forget everything, and see that there is room for so many tokens.

        Raises:
            MemoryError: There is not enough memory for them.
        """
        if self._context is None or n_tokens > self._n_context:
            self._open(self._stepped(n_tokens))
        else:
            self._functions.llama_memory_clear(self._functions.llama_get_memory(self._context), False)

    def keep(self, n_kept: int, n_tokens: int) -> bool:
        """Forget all but the first tokens; return whether the cache can, and was made for about so many in all."""
        if self._stepped(n_tokens) != self._n_context:
            return False
        memory = self._functions.llama_get_memory(self._context)
        return bool(self._functions.llama_memory_seq_rm(memory, 0, n_kept, -1))

    def begin_sequences(self, n_sequences: int, n_tokens: int) -> None:
        """Forget everything, and have room for so many sequences of so many tokens each.

        Raises:
            MemoryError: There is not enough memory for them.
        """
        of_each = self._stepped(n_tokens)
        self._open(n_sequences * of_each, n_sequences)
        self._n_context = 0  # what follows for one sequence has a context of its own

    def append_to(self, sequences: Sequence[int], positions: Sequence[int], token_ids: Sequence[int]) -> None:
        """Process one token of each of some sequences, or several of one, in one step; `logits_at` has what follows."""
        self._process(sequences, positions, token_ids, _wanted(sequences))

    def append_scored(self, start: int, token_ids: Sequence[int]) -> int:
        """Process tokens from a position on; return the address of the logits that follow each, row by row."""
        n_tokens = len(token_ids)
        self._process([0] * n_tokens, range(start, start + n_tokens), token_ids, [True] * n_tokens)
        return self.logits_at(0)

    def _process(
        self, sequences: Sequence[int], positions: Sequence[int], token_ids: Sequence[int], wanted: Sequence[bool]
    ) -> None:
        n_tokens = len(token_ids)
        ids = [(c_int32 * 1)(sequence) for sequence in sequences]
        batch = Batch(
            n_tokens=n_tokens,
            token=(c_int32 * n_tokens)(*token_ids),
            pos=(c_int32 * n_tokens)(*positions),
            n_seq_id=(c_int32 * n_tokens)(*[1] * n_tokens),
            seq_id=(POINTER(c_int32) * n_tokens)(*[ctypes.cast(each, POINTER(c_int32)) for each in ids]),
            logits=(c_int8 * n_tokens)(*wanted),
        )
        code = self._functions.llama_decode(self._context, batch)
        if code:
            raise RuntimeError(f"llama_decode gave {code} for {n_tokens} tokens of {len(set(sequences))} sequences")

    def logits_at(self, index: int) -> int:
        """Return the address of the logits that follow a token of the latest step; −1 is its last."""
        return ctypes.cast(self._functions.llama_get_logits_ith(self._context, index), c_void_p).value or 0

    def append(self, token_ids: Sequence[int]) -> int:
        """Process tokens, and return the address of the logits that follow the last one."""
        values = (c_int32 * len(token_ids))(*token_ids)
        code = self._functions.llama_decode(self._context, self._functions.llama_batch_get_one(values, len(token_ids)))
        if code:
            raise RuntimeError(f"llama_decode gave {code} for {len(token_ids)} tokens")
        return self.logits_at(-1)

    def close(self) -> None:
        """Free the model."""
        self._close_context()
        self._functions.llama_model_free(self._model)

    def _stepped(self, n_tokens: int) -> int:
        return -(-n_tokens // self.N_STEP) * self.N_STEP

    def _close_context(self) -> None:
        if self._context is not None:
            self._functions.llama_free(self._context)
            self._context = None

    def _open(self, n_context: int, n_sequences: int = 1) -> None:
        """Make a context as llama.cpp does by default: F16 cache, flash attention where the library can."""
        self._close_context()
        parameters = self._functions.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = n_context, n_sequences
        parameters.n_threads = parameters.n_threads_batch = self._n_threads
        self._context, self.log = self.library.listened(
            lambda: self._functions.llama_init_from_model(self._model, parameters)
        )
        if not self._context:
            raise MemoryError(f"llama.cpp has no room for {n_context} tokens: {_reason(self.log)}")
        self._n_context = n_context
        self.n_batch: int = parameters.n_batch


def _wanted(sequences: Sequence[int]) -> list[bool]:
    """Return for each token whether logits are wanted: behind the last one of each sequence."""
    return [sequence not in sequences[index + 1 :] for index, sequence in enumerate(sequences)]


def _reason(log: str) -> str:
    """Return the line of a log that tells of an error."""
    lines = [line.strip() for line in log.splitlines() if "error" in line.lower() or "failed" in line.lower()]
    return lines[0] if lines else "it gives no reason"
