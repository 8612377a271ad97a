"""A packed model and its KV-cache: prefill, then token after token; of several sequences, one of each at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import SCORED_TOKENS, Decoder
from tuibench.engines.decoder.rope import rope_tables, switching_length
from tuibench.engines.fused.buffers import FEW, Prompt, Scratch, new_prompt, new_scratch
from tuibench.engines.fused.cache import Cache, capacity_of, new_store
from tuibench.engines.fused.layers import head_widths, is_varied, matrices_by_width
from tuibench.engines.fused.machine_code import entry, parts_of
from tuibench.engines.fused.matrices import LANES, Absent, Matrix, allocate, padded, precision_of
from tuibench.engines.fused.model import Model
from tuibench.engines.fused.team import Team

MOST_AT_ONCE = 8
"""Tokens of one sequence that one step can take: as many as a panel of weights is multiplied by at a time."""
_STEPS_PAY = {"fp32": (128, 32), "int8": (48, 56), "int4": (48, 56)}
"""Up to how many tokens behind others are read faster in steps: 10, one more for so many tokens before them, no more
than the second number in all. The prompt's kernels take all that stands before it from the cache first, which a step
reads as it lies. From `tests.bench.behind_depth` on two AVX2 cores."""


class Embedding:
    """Rows of the token table, read from the checkpoint's file and never held in memory; learned positions are."""

    def __init__(self, decoder: Decoder, weights: Checkpoint) -> None:
        self._token_rows = weights.embedding_rows
        self._scale = np.float32(decoder.embedding_scale)
        self._positions = weights.get(decoder.weights, "positions")
        self._layer_rows, self._layer_tables = weights.rows, decoder.weights.get("layer_embedding", ())
        self._layer_scale = np.float32(decoder.layer_embedding_scale)

    def rows(self, token_ids: Sequence[int], positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return `[tokens, hidden]` for tokens at some positions."""
        rows: NDArray[np.float32] = self._token_rows(token_ids) * self._scale
        if self._positions is not None:
            rows = rows + self._positions[positions]
        return rows

    def layer_inputs(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Return `[tokens, layers · width]`: what layers read of tokens besides, which may be nothing."""
        layer_inputs = np.zeros((len(token_ids), 0), np.float32)
        for table in self._layer_tables:  # one, or none
            layer_inputs = self._layer_rows(table, token_ids) * self._layer_scale
        return layer_inputs


class FusedSession:
    """One sequence, or several at once, each in a part of the cache."""

    def __init__(self, decoder: Decoder, model: Model, embedding: Embedding, n_threads: int) -> None:
        precision = precision_of(model.qkv)
        self._steps_pay = _STEPS_PAY[precision]
        _, tokens, prompts = parts_of(precision, varied=is_varied(decoder))
        self._decode = entry(tokens, "decode_tokens")
        self._prefill = entry(prompts, "prefill_prompt")
        self._score = entry(prompts, "score_block")
        self.decoder = decoder
        self.model = model
        self._embedding = embedding
        self._team = Team(n_threads)
        self._logits = np.zeros((MOST_AT_ONCE, padded(decoder.vocabulary, LANES)), np.float32)
        self._lengths, self._max_length = np.zeros(1, np.int64), 0
        self._cache: Cache | None = None
        self._scratch: Scratch | None = None
        self._switch = switching_length(decoder.rope)
        self._long = False

    @property
    def why_alone(self) -> str | None:
        """Why several sequences cannot share a step; None where they can."""
        return None if self._switch is None else "the model turns a text's positions by its length"

    def begin(self, n_sequences: int, max_length: int) -> None:
        """Forget everything, and have room for so many sequences, which are empty."""
        self._make_room(max_length, n_sequences)
        self._lengths, self._max_length = np.zeros(n_sequences, np.int64), max_length

    def prefill(self, token_ids: Sequence[int], max_length: int) -> NDArray[np.float32]:
        self.begin(1, max_length)
        return self.read(0, token_ids)

    def read(self, sequence: int, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Append any number of tokens, at least one, to a sequence and return the logits that follow the last.

        Raises:
            IndexError: As for `append`.
        """
        self._refuse_more_than(int(self._lengths[sequence]) + len(token_ids))
        self._pass_through(token_ids, sequence)
        self._team.set_work(self._decode, self.model, self._cache, self._scratch, self._logits)
        self._lengths[sequence] += len(token_ids)
        return self._logits[0, : self.decoder.vocabulary]

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits at every position, a block of positions at a time; ends what `prefill` began."""
        self.begin(1, len(token_ids))
        prompt = self._pass_through(token_ids, 0)
        for start in range(0, len(token_ids), SCORED_TOKENS):
            n_positions = min(SCORED_TOKENS, len(token_ids) - start)
            logits = np.empty((padded(n_positions, FEW), self._logits.shape[1]), np.float32)
            self._team.set_work(self._score, self.model, prompt, n_positions, logits)
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
        n_tokens, start = len(token_ids), int(self._lengths[0])
        self._refuse_more_than(start + n_tokens)
        logits = self._step(token_ids, np.arange(start, start + n_tokens), [0] * n_tokens)
        self._lengths[0] += n_tokens
        return logits

    def decode_together(self, sequences: Sequence[int], token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Append a token to each of some sequences in one step; return the logits that follow, those of each alone.

        Raises:
            IndexError: As for `append`.
        """
        places = np.array(sequences, np.int64)
        self._refuse_more_than(int(self._lengths[places].max()) + 1)
        logits = self._step(token_ids, self._lengths[places], sequences)
        self._lengths[places] += 1
        return logits

    def extend(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Append any number of tokens and return the logits that follow the last; a few of them as `append` does."""
        apart, most = self._steps_pay
        if len(token_ids) > min(10 + int(self._lengths[0]) // apart, most):
            return self.read(0, token_ids)
        self._refuse_more_than(int(self._lengths[0]) + len(token_ids))  # all of them, or none
        for start in range(0, len(token_ids), MOST_AT_ONCE):
            logits: NDArray[np.float32] = self.append(token_ids[start : start + MOST_AT_ONCE])[-1]
        return logits

    def rollback(self, n_tokens: int) -> None:
        """Forget the last tokens; the next ones take their places in the cache."""
        self._lengths[0] -= n_tokens

    def keep(self, n_tokens: int, max_length: int) -> bool:
        """Forget all but the first tokens; the next ones take the places of those behind them.

        Returns:
            Whether there is room for so long a text; nothing is forgotten otherwise.
        """
        if self._cache is None or max_length > capacity_of(self._cache.store):
            return False
        self._lengths[0], self._max_length = n_tokens, max_length
        return True

    def _refuse_more_than(self, length: int) -> None:
        if length > self._max_length:
            raise IndexError(f"the KV-cache has room for {self._max_length} positions")

    def _step(
        self, token_ids: Sequence[int], positions: NDArray[np.int64], sequences: Sequence[int]
    ) -> NDArray[np.float32]:
        """Process a token for each place in the cache; return the logits that follow each."""
        scratch, n_tokens = self._scratch, len(token_ids)
        assert scratch is not None  # noqa: S101 - the protocol reads first
        scratch.residual[:n_tokens] = self._embedding.rows(token_ids, positions)
        scratch.layer_inputs[:n_tokens] = self._embedding.layer_inputs(token_ids)
        scratch.positions[:n_tokens], scratch.sequences[:n_tokens] = positions, sequences
        self._team.submit(0, n_tokens)
        return self._logits[:n_tokens, : self.decoder.vocabulary]

    def _pass_through(self, token_ids: Sequence[int], sequence: int) -> Prompt:
        """Fill the cache; leave the last position's logits in `_logits`, what the layers made of each in the prompt."""
        cache, scratch = self._cache, self._scratch
        assert cache is not None  # noqa: S101 - room was made
        start = int(self._lengths[sequence])
        end = start + len(token_ids)
        self._turn(end, cache)
        embedded = self._embedding.rows(token_ids, np.arange(start, end))
        layer_inputs = self._embedding.layer_inputs(token_ids)
        prompt = new_prompt(self.model, embedded, layer_inputs, self.n_workers, start, sequence)
        self._team.set_work(self._prefill, self.model, cache, scratch, self._logits, prompt)
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

    def _make_room(self, max_length: int, n_sequences: int) -> None:
        """Have memory for texts up to a length, that of earlier texts if it is large enough."""
        capacity = padded(max_length, LANES)  # as the store rounds: all parts have room for as many positions
        n_matrices, n_at_once = n_sequences * matrices_by_width(self.decoder)[0], max(MOST_AT_ONCE, n_sequences)
        store = None if self._cache is None else self._cache.store
        if store is None or capacity_of(store) < capacity or len(store.keys[0]) < n_matrices:
            self._cache = new_cache(self.decoder, self.model.qkv, capacity, n_sequences)
            self._scratch = new_scratch(self.model, self._team.n_workers, capacity, n_at_once)
            self._logits = np.zeros((n_at_once, self._logits.shape[1]), np.float32)
            self._long = False


def new_cache(decoder: Decoder, weights: Matrix, capacity: int, n_sequences: int) -> Cache:
    """Return an empty cache of some sequences as it goes with such weights."""
    widths, counts = head_widths(decoder), matrices_by_width(decoder)
    store, wide = (new_store(weights, n_sequences * n, capacity, widths[-index]) for index, n in enumerate(counts))
    n_tables, n_pairs = max(1, len(decoder.rotations)), widths[-1] // 2 if decoder.rope else 0
    cosine, sine = (np.empty((n_tables, capacity, n_pairs), np.float32) for _ in range(2))
    cache = Cache(store, Absent(), cosine, sine, Absent())
    if is_varied(decoder):
        cache = Cache(store, wide, cosine, sine, new_convolved(decoder, capacity, n_sequences))
    write_angles(decoder, cache, long=False)
    return cache


def new_convolved(decoder: Decoder, capacity: int, n_sequences: int) -> NDArray[np.float32]:
    """Return empty rows for what convolutions read, see `Cache`; none where there are no convolutions."""
    width = max((each.width for each in decoder.convolving.values()), default=1)
    return allocate((n_sequences * len(decoder.convolving), width - 1 + capacity, decoder.hidden), np.float32)


def write_angles(decoder: Decoder, cache: Cache, *, long: bool) -> None:
    """Fill the tables of a cache with the angles of texts that are, or are not, longer than the `switching_length`."""
    for index, (prefix, rope) in enumerate(decoder.rotations.items()):
        head_dim = decoder.rotated_head_dim(prefix)
        cosine, sine = rope_tables(rope, head_dim, cache.cosine.shape[1], long=long)
        cache.cosine[index, :, : head_dim // 2], cache.sine[index, :, : head_dim // 2] = cosine, sine
