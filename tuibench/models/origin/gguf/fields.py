"""What a GGUF file says about its architecture, with a record of what has been understood.

Only keys that begin with the architecture's name, and tensors, change what is computed: general, tokenizer, split and
quantize keys, and those of other programs, are bookkeeping. All that changes it must be used, or the file is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tuibench.models.local import ModelError
from tuibench.models.origin.gguf.header import Header, StoredTensor, Value
from tuibench.models.origin.gguf.tensor_values import tensor_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REMEDY = "use the model as a safetensors folder"


class Fields:
    """The keys of a file's architecture, without its name in front, and the file's tensors."""

    def __init__(self, header: Header) -> None:
        architecture = header.metadata.get("general.architecture")
        if not isinstance(architecture, str):
            raise ModelError(f"it names no architecture (general.architecture); {REMEDY}")
        if (kind := header.metadata.get("general.type", "model")) != "model":
            raise ModelError(f"it does not hold a model but {kind!r} (general.type); {REMEDY}")
        self.architecture = architecture
        self._header = header
        self._prefix = f"{architecture}."
        self._unused = {key for key in header.metadata if key.startswith(self._prefix)}
        self._used_tensors: set[str] = set()

    def integer(self, key: str, default: int | None = None) -> int:
        """Return a whole number; of an array, the number that all its items are.

        Raises:
            ModelError: It is missing without a default, or is none.
        """
        value = self._one(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.refused(key, value)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number as it was before it was rounded to FP32: 1e-05, not 9.99999974e-06.

        Raises:
            ModelError: It is missing without a default, or is none.
        """
        value = self._one(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refused(key, value)
        return _shortest(value)

    def flag(self, key: str) -> bool:
        """Return a yes or no.

        Raises:
            ModelError: It is missing, or is none.
        """
        value = self.value(key)
        if not isinstance(value, bool):
            raise self.refused(key, value)
        return value

    def optional_number(self, key: str) -> float | None:
        """Return a number, None where the file has none."""
        return self.number(key) if self.has(key) else None

    def value(self, key: str) -> Value:
        """Return whatever the file says; None where it says nothing."""
        self._unused.discard(self._prefix + key)
        return self._header.metadata.get(self._prefix + key)

    def require(self, key: str, *allowed: Value) -> None:
        """Check that a key, where the file has it, says what the transformers model always does.

        Raises:
            ModelError: It says something else.
        """
        if not self.has(key):
            return
        value = self.value(key)
        if value not in allowed:
            raise self.refused(key, value)

    def has(self, key: str) -> bool:
        """Tell whether the file has a key."""
        return self._prefix + key in self._header.metadata

    @property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """All tensors by name."""
        return self._header.tensors

    @property
    def weights(self) -> dict[str, StoredTensor]:
        """The tensors that have not been taken for the configuration."""
        return {name: tensor for name, tensor in self.tensors.items() if name not in self._used_tensors}

    @property
    def n_layers(self) -> int:
        """Number of layers.

        Raises:
            ModelError: There are none, or more than the file can hold a tensor of.
        """
        n_layers = self.integer("block_count")
        if not 0 < n_layers <= len(self.tensors):
            raise self.refused("block_count", n_layers)
        return n_layers

    @property
    def vocabulary_size(self) -> int:
        """Number of rows of the embedding.

        Raises:
            ModelError: There is no embedding, or it does not fit the tokenizer.
        """
        embedding = self.tensors.get("token_embd.weight")
        if embedding is None:
            raise ModelError(f"it lacks the tensor token_embd.weight of a language model; {REMEDY}")
        n_tokens = self._header.array_lengths.get("tokenizer.ggml.tokens")
        if n_tokens is None:
            raise ModelError(f"it lacks tokenizer.ggml.tokens, the tokenizer's vocabulary; {REMEDY}")
        if n_tokens != embedding.shape[0]:
            raise ModelError(
                f"its vocabulary has {n_tokens} tokens and token_embd.weight {embedding.shape[0]} rows; fetch it again"
            )
        self.require("vocab_size", n_tokens)
        return n_tokens

    def special_token(self, name: str) -> int | None:
        """Return the id of `bos`, `eos` or `padding`; None where the file has none."""
        value = self._header.metadata.get(f"tokenizer.ggml.{name}_token_id")
        return value if isinstance(value, int) else None

    def take_tensor(self, name: str) -> NDArray[np.float32] | None:
        """Return a tensor that belongs to the configuration; None where the file has none."""
        tensor = self.tensors.get(name)
        if tensor is None:
            return None
        self._used_tensors.add(name)
        return tensor_values(self._header, tensor)

    def check_all_used(self) -> None:
        """Check that all keys have been understood.

        Raises:
            ModelError: One has not.
        """
        for full_key in sorted(self._unused):
            raise self.refused(full_key.removeprefix(self._prefix), self._header.metadata[full_key])

    def refused(self, key: str, value: Value) -> ModelError:
        """Return the refusal of what a key says."""
        if value is None and not self.has(key):
            return ModelError(f"it lacks {self._prefix}{key}, which its architecture needs; {REMEDY}")
        shown = f"{value:.7g}" if isinstance(value, float) else repr(value)
        return ModelError(
            f"{self._prefix}{key} = {shown} is not something that its conversion to transformers can keep; {REMEDY}"
        )

    def _one(self, key: str, default: float | None) -> Value:
        value = self.value(key)
        if value is None and not self.has(key):
            return default
        if isinstance(value, tuple) and len(set(value)) == 1:
            return value[0]
        return value


def _shortest(value: float) -> float:
    import numpy as np

    return float(str(np.float32(value)))
