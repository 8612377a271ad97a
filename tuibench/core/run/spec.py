"""What is asked for: a method, how to sample, one request to a worker, one whole run."""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.host import Host
from tuibench.core.run.limits import Limits
from tuibench.core.run.needs import Need, lacks
from tuibench.core.run.shape import Sweep


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a method before anything heavy is imported."""

    id: str
    """Name on the command line and in session files; part of the contract."""
    title: str
    explanation: str
    """One line a newcomer understands."""
    parent: str | None
    """The rung of the ladder that this method improves on; None for the lowest."""
    precision: Literal["fp32", "fp16", "bf16", "int8", "int4", "unknown"]
    exact: bool | None = None
    """Whether it promises the reference's model, and is held to that; None: FP32 methods do."""
    requires: tuple[str, ...] = ()
    """Import names of the libraries its worker needs."""
    runtime: str | None = None
    """The managed environment that its worker runs in; None for this one, which is that of the ladder."""
    named_only: bool = False
    """Whether no group has it, such as `peers`: not every model has what it needs, or it takes too long."""
    problem: str | None = None
    """Why it cannot be used on this machine; None for one that can."""

    @property
    def is_rung(self) -> bool:
        """Whether it has a place on the ladder: it runs in no runtime of others, and on no server."""
        return self.runtime is None and not lacks(self.id, Need.RUNG)

    @property
    def rounds_little(self) -> bool:
        """Whether its predictions are the model's but for rounding that no user could see: a wrong tensor shows."""
        return self.promises_the_model or self.precision == "fp16"

    @property
    def promises_the_model(self) -> bool:
        """Whether it must compute what the reference computes, up to the rounding of sums."""
        return self.precision == "fp32" if self.exact is None else self.exact


def method_of_server(endpoint: Endpoint) -> Method:
    """Return what is known about a server as a method: not even its precision."""
    return Method(
        id=endpoint.method,
        title=endpoint.method,
        explanation=f"{endpoint.model} at {endpoint.url}, a server that runs already.",
        parent=None,
        precision="unknown",
        exact=False,
    )


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is picked from the logits."""

    temperature: float = 0.0
    """0 is greedy: the highest logit wins and the length is forced, which is what a measurement wants."""
    top_k: int = 0
    """Keep only the k most likely tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of tokens whose probabilities add up to p; 1 keeps all."""
    seed: int = 0

    @property
    def greedy(self) -> bool:
        """Whether decoding is deterministic, of forced length, and so comparable between methods."""
        return self.temperature == 0.0


Ranges = Literal["min-max", "percentile", "entropy"]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What methods are calibrated on that fix ranges of activations, or round weights by their inputs, beforehand."""

    file: str | None = None
    """UTF-8 text on this machine; None takes the one that ships. Sessions keep its name and hash, never its folder."""
    ranges: Ranges = "min-max"
    """How much of the values seen the levels cover: all, nearly all, or what changes their distribution least."""


class LoadRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="request", tag="load"):
    """The first line on a worker's standard input."""

    protocol: int
    method: str
    model_dir: str
    n_threads: int
    calibration: Calibration = Calibration()
    endpoint: Endpoint | None = None
    """The server that is asked instead of loading a model here."""
    streamed: bool = False
    """Whether the reference reads its weights from the file layer by layer: its FP32 form does not fit into memory."""
    gather_ns: int = 0
    """Tokens may wait for so long for others to be sent with: where each line wakes up more than one process."""
    several_users: bool = False
    """Whether trials of several users will be asked for."""


class TrialRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="request", tag="trial"):
    """One generation; a worker serves any number of them, one after the other."""

    prompt: str
    raw: bool = False
    """Whether the prompt goes to the model as it is, without the chat template."""
    prompt_date: date | None = None
    """The day that a chat template tells the model; None leaves it to the template."""
    max_new_tokens: int
    sampling: Sampling = Sampling()
    prompt_tokens: int | None = None
    """Take so many tokens of the running text for a prompt, instead of `prompt`."""
    depth_tokens: int = 0
    """Fill the KV-cache with so many tokens of the running text, which the prompt follows, before the clock starts."""
    spare_tokens: int = 0
    """Room that trials to come need in the KV-cache beyond this one's, behind the same depth."""
    running_text: str = ""
    """Repeated where it is too short; no chat template is put around what is cut from it."""
    turn_tokens: int | None = None
    """After so many tokens it says `TurnEnded` and waits for a `GoOnRequest`; None generates all in one go."""
    n_users: int = 1
    """Sequences at once, each with the next part of the running text for a prompt."""
    staggered: bool = False
    """Whether they come one by one while the first is answered, evenly spread over its tokens; else all at once."""


class GoOnRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="request", tag="go-on"):
    """The next turn of a trial that waits."""


class QualityRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="request", tag="quality"):
    """Score a text with the loaded method, against the reference's predictions of the same text."""

    text: str
    window_tokens: int | None = None
    """How long its windows are; None: as long as llama.cpp's."""
    make_reference: bool
    """Whether this method is the reference, and may make what the cache lacks."""


Request = LoadRequest | TrialRequest | GoOnRequest | QualityRequest

_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def decode_request(line: bytes) -> Request:
    """Return the request that a line holds.

    Raises:
        msgspec.DecodeError: It holds none.
    """
    try:
        return _decoder.decode(line)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


class EvalText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that quality is measured on."""

    name: str
    """As shown and stored: no folder in it."""
    text: str


DEFAULT_NEW_TOKENS = 128


class RunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison, as the user asked for it."""

    model: str
    methods: tuple[str, ...]
    prompt: str
    raw: bool = False
    prompt_date: date | None = None
    """The day that a chat template tells the model in all trials; None takes that on which the session begins."""
    max_new_tokens: int = DEFAULT_NEW_TOKENS
    n_trials: int = 3
    """Measured trials of each method; with a `precision`, the fewest."""
    precision: float | None = None
    """Measure on until each method's decode speed is known within this fraction either side; None: `n_trials`."""
    max_trials: int = 30
    """Where a `precision` that cannot be reached is given up."""
    min_time_s: float = 0.0
    """With a `precision`: least time of decoding that is measured of each method."""
    budget_s: float | None = None
    """No further round begins after this time."""
    n_warmup: int = 1
    """Short generations at the start of each worker process: stored, never part of a figure."""
    n_threads: int = 1
    sampling: Sampling = Sampling()
    eval_text: EvalText | None = None
    """Each measured method is scored on it at the end; None measures no quality."""
    calibration: Calibration = Calibration()
    endpoints: tuple[Endpoint, ...] = ()
    """Servers that take part, each under its `method`."""
    sweep: Sweep | None = None
    """Several shapes in one run; `max_new_tokens` and `n_threads` are then the largest of them."""
    staggered: bool = False
    """Whether several users come one by one, as in `TrialRequest`."""
    ttft_limit_ns: int | None = None
    """With the next one, what a user's answer must keep to count for goodput; None takes any."""
    tpot_limit_ns: int | None = None
    running_text: EvalText | None = None
    """What prompts of a given length are cut from and depth is filled with; None where a sweep needs none."""
    hosts: tuple[Host, ...] = ()
    """Other machines that take part: the methods there are called `METHOD@HOST`."""
    threads_of_hosts: dict[str, int] = {}
    """Threads per worker on other machines; a host that is not named uses as many as suit it."""
    timeout_s: float | None = None
    """Longest a phase may take; None takes the default of each phase."""
    name: str = ""
    limits: Limits | None = None
    """Search for the fastest method that keeps them, and measure no more than that needs; None measures everything."""


DEFAULT_PROMPT = "Explain in a few sentences how a KV-cache makes decoding faster."
