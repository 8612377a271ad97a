"""A packed model and its KV-cache: prefill, then token after token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import SCORED_TOKENS, Decoder
from tuibench.engines.decoder.rope import rope_tables, switching_length
from tuibench.engines.fused.cache import Cache, capacity_of, new_store
from tuibench.engines.fused.compiler import was_compiled
from tuibench.engines.fused.decode import Scratch, decode_tokens, new_scratch
from tuibench.engines.fused.kernels.groups import FEW
from tuibench.engines.fused.matrices import LANES, Matrix, padded
from tuibench.engines.fused.model import TOY_WIDTH, Model, pack_model, toy_model
from tuibench.engines.fused.packing import StackWriter
from tuibench.engines.fused.prefill import Prompt, new_prompt, prefill_prompt, score_block
from tuibench.engines.fused.team import Team

MOST_AT_ONCE = 8
"""Tokens that one step can take: as many as a panel of weights is multiplied by at a time."""


Part = Literal["tokens", "prompts"]
"""Half of the kernels: those that decode, and those that read prompts and score texts."""


class Embedding:
    """Rows of the token table, and of learned positions; read from the checkpoint's file, never held in memory."""

    def __init__(self, decoder: Decoder, weights: Checkpoint) -> None:
        self._tokens = weights.embedding
        self._scale = np.float32(decoder.embedding_scale)
        self._positions = weights.get(decoder.weights, "positions")

    def rows(self, token_ids: Sequence[int], start: int) -> NDArray[np.float32]:
        """Return `[tokens, hidden]` for tokens at positions from `start` on."""
        rows: NDArray[np.float32] = self._tokens[np.asarray(token_ids)] * self._scale
        if self._positions is not None:
            rows = rows + self._positions[start : start + len(token_ids)]
        return rows


class FusedSession:
    """One sequence at a time."""

    def __init__(self, decoder: Decoder, model: Model, embedding: Embedding, n_threads: int) -> None:
        self.decoder = decoder
        self.model = model
        self._embedding = embedding
        self._team = Team(n_threads)
        self._logits = np.zeros((MOST_AT_ONCE, padded(decoder.vocabulary, LANES)), np.float32)
        self._length = self._max_length = 0
        self._cache: Cache | None = None
        self._scratch: Scratch | None = None
        self._switch = switching_length(decoder.rope)
        self._long = False

    def prefill(self, token_ids: Sequence[int], max_length: int) -> NDArray[np.float32]:
        cache, scratch = self._room(max_length)
        self._read(token_ids, cache, scratch)
        self._team.set_work(decode_tokens, self.model, cache, scratch, self._logits)
        self._length, self._max_length = len(token_ids), max_length
        return self._logits[0, : self.decoder.vocabulary]

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits at every position, a block of positions at a time; ends what `prefill` began."""
        prompt = self._read(token_ids, *self._room(len(token_ids)))
        for start in range(0, len(token_ids), SCORED_TOKENS):
            n_positions = min(SCORED_TOKENS, len(token_ids) - start)
            logits = np.empty((padded(n_positions, FEW), self._logits.shape[1]), np.float32)
            self._team.set_work(score_block, self.model, prompt, n_positions, logits)
            self._team.submit(start)
            yield logits[:n_positions, : self.decoder.vocabulary]

    def decode(self, token_id: int) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self.append([token_id])[0]
        return logits

    def append(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens in one step and return the logits that follow each, `[tokens, vocabulary]`.

        They are, to the bit, those that `decode` would give one after the other. At most `MOST_AT_ONCE` tokens.

        Raises:
            IndexError: The text would become longer than `prefill` was told; compiled code would write past the cache.
        """
        assert self._scratch is not None  # noqa: S101 - the protocol prefills first
        n_tokens = len(token_ids)
        if self._length + n_tokens > self._max_length:
            raise IndexError(f"the KV-cache has room for {self._max_length} positions")
        self._scratch.residual[:n_tokens] = self._embedding.rows(token_ids, self._length)
        self._team.submit(self._length, n_tokens)
        self._length += n_tokens
        return self._logits[:n_tokens, : self.decoder.vocabulary]

    def extend(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Append any number of tokens and return the logits that follow the last.

        In steps of a few: the kernels of `prefill` begin with an empty cache. Weights are read once a step.
        """
        logits: NDArray[np.float32] = self._logits[0, : self.decoder.vocabulary]
        for start in range(0, len(token_ids), MOST_AT_ONCE):
            logits = self.append(token_ids[start : start + MOST_AT_ONCE])[-1]
        return logits

    def rollback(self, n_tokens: int) -> None:
        """Forget the last tokens; the next ones take their places in the cache."""
        self._length -= n_tokens

    def keep(self, n_tokens: int) -> None:
        """Forget all but the first tokens; the next ones take the places of those behind them."""
        self._length = n_tokens

    def _read(self, token_ids: Sequence[int], cache: Cache, scratch: Scratch) -> Prompt:
        """Fill the cache; leave the last position's logits in `_logits`, what the layers made of each in the prompt."""
        self._turn(len(token_ids), cache)
        prompt = new_prompt(self.model, self._embedding.rows(token_ids, 0), self.n_workers)
        self._team.set_work(prefill_prompt, self.model, cache, scratch, self._logits, prompt)
        self._team.submit(0)
        return prompt

    def _turn(self, length: int, cache: Cache) -> None:
        """Have the angles of texts of this length, which are others beyond the `switching_length`."""
        long = self._switch is not None and length > self._switch
        if long != self._long:
            write_angles(self.decoder, cache, long=long)
            self._long = long

    @property
    def n_workers(self) -> int:
        """Threads that work on a token."""
        return self._team.n_workers

    def close(self) -> None:
        self._team.close()

    def _room(self, max_length: int) -> tuple[Cache, Scratch]:
        """Return memory for texts up to a length, that of an earlier text if it is large enough."""
        capacity = padded(max_length, LANES)  # as the store rounds: all parts have room for as many positions
        if self._cache is None or self._scratch is None or capacity_of(self._cache.store) < capacity:
            self._cache = new_cache(self.decoder, self.model.qkv, capacity)
            self._scratch = new_scratch(self.model, self._team.n_workers, capacity, MOST_AT_ONCE)
            self._long = False
        return self._cache, self._scratch


def new_cache(decoder: Decoder, weights: Matrix, capacity: int) -> Cache:
    """Return an empty cache as it goes with such weights."""
    n_tables, n_pairs = max(1, len(decoder.rotations)), decoder.head_dim // 2 if decoder.rope else 0
    store = new_store(weights, decoder.n_layers * decoder.n_kv_heads, capacity, decoder.head_dim)
    cache = Cache(store, *(np.empty((n_tables, capacity, n_pairs), np.float32) for _ in range(2)))
    write_angles(decoder, cache, long=False)
    return cache


def write_angles(decoder: Decoder, cache: Cache, *, long: bool) -> None:
    """Fill the tables of a cache with the angles of texts that are, or are not, longer than the `switching_length`."""
    for index, rope in enumerate(decoder.rotations.values()):
        cosine, sine = rope_tables(rope, decoder.head_dim, cache.cosine.shape[1], long=long)
        cache.cosine[index], cache.sine[index] = cosine, sine


def open_session(
    decoder: Decoder, weights: Checkpoint, writer: type[StackWriter], n_threads: int, progress: Progress
) -> FusedSession:
    """Pack the weights of a model."""
    model = pack_model(decoder, weights, writer, n_threads, progress)
    return FusedSession(decoder, model, Embedding(decoder, weights), n_threads)


def compile_kernels(writer: type[StackWriter], part: Part | None = None) -> bool:
    """Compile what a precision needs, or read it from the cache; return whether there was anything to compile."""
    model = toy_model(writer)
    angles = np.zeros((1, 2, TOY_WIDTH // 2), np.float32)
    cache = Cache(new_store(model.qkv, 1, 2, TOY_WIDTH), angles, angles)
    scratch, logits = new_scratch(model, 1, 2), np.zeros((1, TOY_WIDTH), np.float32)
    team = Team(1)
    if part != "prompts":
        team.set_work(decode_tokens, model, cache, scratch, logits)
        team.submit(1)
    if part != "tokens":
        prompt = new_prompt(model, np.zeros((1, TOY_WIDTH), np.float32), 1)
        team.set_work(prefill_prompt, model, cache, scratch, logits, prompt)
        team.submit(0)
        team.set_work(score_block, model, prompt, 1, np.zeros((FEW, TOY_WIDTH), np.float32))
        team.submit(0)
    return any(was_compiled(function) for function in (decode_tokens, prefill_prompt, score_block))
