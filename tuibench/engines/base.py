"""What every method provides: a model that turns tokens into logits one step at a time, or one that streams text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from tuibench.core.run.kv_cache import KvCacheSize
from tuibench.core.run.spec import Calibration, Sampling
from tuibench.core.run.spec import Method as Method  # noqa: PLC0414 - a plug-in finds all that it needs here

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Logits = NDArray[np.float32]
    """Shape `[vocabulary]`. Valid until the next call of the engine, which may reuse the memory."""
    BatchLogits = NDArray[np.float32]
    """Shape `[sequences, vocabulary]`. Valid until the next call of the engine, and the caller's to overwrite."""

Progress = Callable[[str, int, int | None], None]
"""Called with a label, steps done, and steps in all (None: unknown) during long preparation."""


class UnsupportedModelError(Exception):
    """The method cannot run this model; the message says why."""


class CalibrationError(Exception):
    """The calibration text cannot be used; the message names it, the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine knows about itself once it is loaded."""

    parameters: int
    artifact_bytes: int
    """Size of the files that the weights came from."""
    weight_bytes: int
    """Bytes of weights that one decoded token has to read."""
    context_window: int | None
    """Most tokens, prompt and output together, that the model was made for; None where there is no limit."""
    facts: dict[str, str] = field(default_factory=dict)
    """What decides the speed here: precision, kernels, library versions."""
    kv_cache: KvCacheSize | None = None
    """What the KV-cache takes, as this engine holds it; None for a method without one."""


class Engine(Protocol):
    """A model under one optimisation. One engine lives in one process; calls come from one thread."""

    method: ClassVar[Method]

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        """Make what loading needs and the cache lacks (export, quantisation); say whether there was anything to do."""

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        """Load the model from a folder with `config.json` and safetensors weights.

        Raises:
            UnsupportedModelError: The method cannot run this model.
        """

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        """Forget everything, read the prompt, and return the logits that follow it.

        Args:
            token_ids: The prompt, at least one token.
            max_length: Most tokens, prompt included, that will be processed before the next prefill.
        """

    def decode(self, token_id: int) -> Logits:
        """Append one token and return the logits that follow it."""

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits at every position of a text, as blocks of shape `[positions, vocabulary]`, in order.

        The arithmetic is decoding's: where quantising a whole block at once would give other activations than one token
        at a time, it is done token by token. A block's memory may be reused for the next; a few dozen MB at most.
        """

    def close(self) -> None:
        """Free what the engine holds."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """One generation of a method that hands out text."""

    prompt: str
    """What the user typed."""
    text: str
    """The same within the model's chat template, as methods read it that get tokens; equal to it without one."""
    max_new_tokens: int
    sampling: Sampling
    """Greedy means that exactly `max_new_tokens` are wanted, EOS or not."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text as it came."""

    at_ns: int
    """`perf_counter_ns` when it was there."""
    text: str
    n_tokens: int | None
    """Tokens in it; None where that is not told."""


@dataclass(frozen=True, slots=True)
class StreamOutcome:
    """What is known at the end of a generation."""

    n_prompt: int | None = None
    n_gen: int | None = None
    """As the model's own side counted; None where it does not tell."""
    n_cached: int | None = None
    """Tokens of the prompt that were kept from an earlier request, and not computed."""
    prompt_kept: bool | None = None
    """Where that is not told: whether a prompt that came again was seen to be kept; None if that cannot be seen."""
    stopped: bool = False
    """Whether the model ended it, and not the length that was asked for."""
    timings: tuple[str, ...] = ()
    """What the model's own side says it took, as `name: value`."""
    reasoned: bool = False
    """Whether some of the text is what the model thought before it answered."""


class StreamError(Exception):
    """A generation has no result, and others may have; the message says what to do."""


class StreamRefusedError(Exception):
    """Every generation would end as this one did; the message says what to do."""


@runtime_checkable
class StreamEngine(Protocol):
    """A model behind something that hands out text and neither logits nor token ids.

    It is never scored, cannot pause between tokens, and its pieces may hold several tokens.
    """

    method: Method

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        """Do as `Engine.prepare`."""

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> dict[str, str]:
        """See that it can be asked, and return facts to be shown.

        Raises:
            StreamRefusedError: It cannot be.
        """

    def stream(self, request: StreamRequest) -> Iterator[Piece]:
        """Connect, and return an iterator that asks when it is first advanced, and ends with the generation.

        Raises:
            StreamError: It did not go well; also while iterating.
            StreamRefusedError: It never will; also while iterating.
        """

    @property
    def reads_text(self) -> bool:
        """Whether it reads `StreamRequest.text`; else its own template is put around the prompt."""

    @property
    def outcome(self) -> StreamOutcome:
        """What is known of the latest generation, once its iterator is at its end."""

    def close(self) -> None:
        """Free what the engine holds."""


@runtime_checkable
class ConcurrentEngine(Protocol):
    """What a stream engine has besides if it can be asked several things at once."""

    def beside(self) -> StreamEngine:
        """Return a loaded engine of the same kind whose generations may go on while this one's do, in any thread."""


@runtime_checkable
class CalibratedEngine(Protocol):
    """What an engine has besides if its weights or ranges depend on a text."""

    def calibrate_on(self, calibration: Calibration) -> None:
        """Have `prepare()` use this text and this way to pick ranges; called before it, or not at all."""


@runtime_checkable
class ExtendingEngine(Protocol):
    """What an engine has besides if it can read a prompt behind tokens that it has read before."""

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """Append tokens and return the logits that follow the last of them."""


@runtime_checkable
class BatchEngine(Protocol):
    """What an engine has besides if one step appends a token to each of several sequences.

    Sequences have numbers from 0 on and lengths of their own. They are read one after the other, take part in any of
    the steps, and leave by taking part in no more. Numbers must come out as those of each sequence alone, but for the
    order of sums.
    """

    @property
    def why_alone(self) -> str | None:
        """Why the loaded model's sequences cannot share a step; None where they can."""

    def begin_batch(self, n_sequences: int, max_length: int) -> None:
        """Forget everything, and have room for so many sequences, which are empty.

        Args:
            n_sequences: At least one.
            max_length: Most tokens that any of them will have.
        """

    def read_sequence(self, sequence: int, token_ids: Sequence[int]) -> Logits:
        """Append tokens, at least one, to one sequence, and return the logits that follow the last of them."""

    def decode_batch(self, sequences: Sequence[int], token_ids: Sequence[int]) -> BatchLogits:
        """Append one token to each of some sequences in one step, and return the logits that follow, in their order.

        Args:
            sequences: At least one, each once, in rising order; each has been read.
            token_ids: One for each.
        """


@runtime_checkable
class SelfPickingEngine(Protocol):
    """What an engine has besides if its library picks the tokens, always the most likely one.

    `decode` of what was picked is a step. Of another token, it reads the whole text anew: right, and no measurement.
    """

    def pick_without(self, banned: Collection[int]) -> None:
        """Never pick some tokens, from the next prefill on: their logits are the lowest number then."""


@dataclass(slots=True)
class Guesses:
    """How guessing ahead went in one generation."""

    n_steps: int = 0
    """Steps of the model after the prompt; a step yields one token, and each guessed one that was right."""
    n_guessed: int = 0
    n_accepted: int = 0


@runtime_checkable
class GuessingEngine(Protocol):
    """What an engine has besides if it guesses tokens and checks several in one step."""

    @property
    def guesses(self) -> Guesses:
        """How it went since the last prefill."""


@runtime_checkable
class ContinuingEngine(ExtendingEngine, Protocol):
    """What an engine has besides if it can go back to the beginning of a text, and read others behind it."""

    spare_room: ClassVar[bool]
    """Whether room in its KV-cache that a text does not need costs neither time nor memory that is in use."""

    def keep(self, n_kept: int, max_length: int) -> bool:
        """Forget all but the first tokens of the text so far; an `extend` follows.

        Args:
            n_kept: Tokens to keep, all that were processed since the latest `prefill` counted together.
            max_length: Most tokens, kept ones included, that the text will have.

        Returns:
            False where this model's cache cannot forget single tokens, or has too little room: a `prefill` of the
            whole text has to follow.
        """
