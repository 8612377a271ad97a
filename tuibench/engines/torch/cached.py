"""A model and the cache of one text: how each kind of model wants its cache handed over, and what it then holds."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.torch.preallocated import preallocated_cache
from tuibench.engines.torch.rotation import Rotation

_STATES_IN_MODULES = ("conv1d_state", "recurrent_states")
"""RecurrentGemma keeps them in its layers instead of the cache, where a text that begins with one token finds those of
the text before."""


@dataclass(frozen=True, slots=True)
class CacheCall:
    """What a forward pass is given besides the new tokens."""

    own_cache: bool = False
    """The model makes its cache itself: a class of its own, which holds what the general one cannot."""
    positions: bool = False
    """Where the new tokens stand; some models count from 0 at each call otherwise."""
    mask: bool = False
    """One for each token so far; some models take the new tokens for the whole text otherwise."""

    def __str__(self) -> str:
        cache = "the model's own cache" if self.own_cache else "cache"
        extras = [name for name, given in (("position_ids", self.positions), ("attention_mask", self.mask)) if given]
        return " with ".join([cache, *([" and ".join(extras)] if extras else [])])


def possible_calls(model: Any) -> Iterator[CacheCall]:  # noqa: ANN401 - transformers' own
    """Yield the ways in which a model may take a cache, the usual one first.

    Raises:
        UnsupportedModelError: It takes none.
    """
    parameters = inspect.signature(model.forward).parameters
    if "cache" not in parameters:
        # Whatever else it is called is swallowed by `**kwargs`, and the model decodes with one token of memory.
        raise UnsupportedModelError(f"{model.config.model_type} takes no cache in transformers; baseline runs it")
    general = model._supports_default_dynamic_cache()  # noqa: SLF001 - no public way to ask
    for own_cache in (False, True) if general else (True,):
        for mask in (False, True):
            for positions in (False, True):
                if positions <= ("position_ids" in parameters) and mask <= ("attention_mask" in parameters):
                    yield CacheCall(own_cache, positions, mask)


def states_in_modules(model: Any) -> list[tuple[Any, str]]:  # noqa: ANN401 - transformers' own
    """Return the modules that keep something of the text themselves, and what it is called there."""
    return [(module, name) for module in model.modules() for name in _STATES_IN_MODULES if name in module.__dict__]


class CachedText:
    """One text: tokens are appended, each pass computes only the new ones."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers' own
        call: CacheCall,
        rotation: Rotation | None,
        max_length: int,
        states: Sequence[tuple[Any, str]] = (),
    ) -> None:
        """Set memory aside; the model has seen nothing yet, and forgets what its `states_in_modules` kept."""
        self._model = model
        self._call = call
        self._rotation = rotation
        self._max_length = max_length
        self._ids = torch.zeros(1, max_length, dtype=torch.long)
        self._positions = torch.arange(max_length)[None]
        self._mask = torch.ones(1, max_length, dtype=torch.long)
        self._rotated: Hashable = None
        self._states = states
        self._forget()

    def _forget(self) -> None:
        self._length = 0
        for module, name in self._states:
            setattr(module, name, None)
        config = self._model.config.get_text_config(decoder=True)
        self.cache: Any = None if self._call.own_cache else preallocated_cache(config, self._max_length)

    def append(self, token_ids: Sequence[int], **options: Any) -> Any:  # noqa: ANN401 - transformers' own
        """Return the model's output for new tokens; they are its last positions.

        Where the rotation changes with the length, all earlier tokens are read again as soon as it does, and the output
        has their positions, too.

        Args:
            token_ids: At least one. Where they do not share one rotation, only the last one's output is right.
            options: Passed on to the model.
        """
        end = self._length + len(token_ids)
        self._ids[0, self._length : end] = token_ids[0] if len(token_ids) == 1 else torch.tensor(token_ids)
        if self._rotation is not None and (rotated := self._rotation.at(end)) != self._rotated:
            self._rotated = rotated
            self._rotation.begin()
            self._forget()
        return self._pass(end, options)

    def rotates_alike(self, n_tokens: int) -> bool:
        """Return whether so many more tokens, appended at once, would have the rotations of one after the other."""
        rotation, start = self._rotation, self._length
        return rotation is None or rotation.at(start + 1) == rotation.at(start + n_tokens)

    def rollback(self, n_tokens: int) -> None:
        """Forget the last tokens."""
        self.cache.crop(-n_tokens)
        self._length -= n_tokens

    def keep(self, n_tokens: int, max_length: int) -> bool:
        """Forget all but the first tokens, if there is room for so long a text; return whether there is."""
        if max_length > self._max_length:
            return False
        if behind := self._length - n_tokens:
            self.rollback(behind)
        return True

    def _pass(self, end: int, options: dict[str, Any]) -> Any:  # noqa: ANN401 - transformers' own
        start = self._length
        if self._call.positions:
            options["position_ids"] = self._positions[:, start:end]
        if self._call.mask:
            options["attention_mask"] = self._mask[:, :end]
        if self.cache is not None:
            options["cache"] = self.cache
        output = self._model(input_ids=self._ids[:, start:end], use_cache=True, **options)
        if self._call.own_cache:
            self.cache = output.cache
        self._length = end
        return output
