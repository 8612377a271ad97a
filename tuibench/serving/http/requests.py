"""What clients ask for, by OpenAI's names; what cannot be had is refused, never left out in silence."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from tuibench.core.run.spec import Sampling
from tuibench.serving.messages import ChatMessage, Generate

Api = Literal["completions", "chat"]
_COMPLETION_TOKENS = 16
"""OpenAI's default for a completion."""
_MOST_STOPS = 16
_SEED_BITS = 63
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "response_format": ({"type": "text"},),
}
"""Parameters that are not to be had here, and the values that ask for nothing."""

Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]


class RequestError(Exception):
    """A request that cannot be answered, as OpenAI's API words it."""

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    @property
    def body(self) -> dict[str, object]:
        """What is answered."""
        kinds = {401: "authentication_error", 500: "server_error", 503: "server_error"}
        kind = kinds.get(self.status, "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class StreamOptions(msgspec.Struct):
    """What a stream tells besides text."""

    include_usage: bool | None = None


class Part(msgspec.Struct):
    """A part of a message."""

    type: str
    text: str | None = None


class Said(msgspec.Struct):
    """A message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = None


class Body(msgspec.Struct, kw_only=True):
    """Of either API; what others ask for besides is in `_NEUTRAL` or of no consequence."""

    model: str | None = None
    prompt: Any = None
    messages: list[Said] | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: bool | None = None
    """llama-server's and vLLM's: generate `max_tokens`, whatever the model says."""
    cache_prompt: bool | None = None
    """llama-server's: whether what the KV-cache still holds is not read again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be answered."""

    api: Api
    order: Generate
    stream: bool
    include_usage: bool


def asked(api: Api, content: bytes, model: str) -> Asked:
    """Return what a client asks for.

    Args:
        api: Which of the two was called.
        content: JSON.
        model: What the model is called.

    Raises:
        RequestError: It cannot be had.
    """
    given, body = _decoded(content)
    _refuse_what_is_not_there(given)
    if body.model is not None and body.model != model:
        raise RequestError(
            f"the model {body.model!r} does not exist; this server has {model!r}",
            status=404, code="model_not_found", param="model",
        )  # fmt: skip
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    if len(stop) > _MOST_STOPS:
        raise RequestError(f"{len(stop)} stop texts are too many: {_MOST_STOPS} at most", param="stop")
    n_most = body.max_completion_tokens or body.max_tokens
    order = Generate(
        id=0,
        today=datetime.now().astimezone().date(),
        max_new_tokens=n_most or (_COMPLETION_TOKENS if api == "completions" else None),
        sampling=_sampling(body),
        stop=tuple(filter(None, stop)),
        ignore_eos=bool(body.ignore_eos),
        reuse=body.cache_prompt is not False,
        **(_prompt(body.prompt) if api == "completions" else {"messages": _messages(body.messages)}),
    )
    usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    return Asked(api, order, stream=bool(body.stream), include_usage=usage)


def _decoded(content: bytes) -> tuple[dict[str, Any], Body]:
    try:
        given = msgspec.json.decode(content)
        if not isinstance(given, dict):
            raise RequestError("the body is not a JSON object")
        return given, msgspec.convert(given, Body)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        param = place.rstrip("`") or None
        raise RequestError(f"{param}: {what}" if param else what, param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None


def _refuse_what_is_not_there(given: dict[str, Any]) -> None:
    for name, neutral in _NEUTRAL.items():
        value = given.get(name)
        if value is not None and value not in neutral:
            raise RequestError(f"{name} is not to be had here", code="unsupported_parameter", param=name)
    if given.get("min_tokens") and not given.get("ignore_eos"):
        raise RequestError(
            "min_tokens is only to be had with ignore_eos", code="unsupported_parameter", param="min_tokens"
        )


def _sampling(body: Body) -> Sampling:
    """Return how tokens are picked; what a request leaves out is as OpenAI has it."""
    return Sampling(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_k=max(body.top_k or 0, 0),
        top_p=1.0 if body.top_p is None else body.top_p,
        seed=secrets.randbits(_SEED_BITS) if body.seed is None else body.seed,
    )


def _prompt(prompt: object) -> dict[str, Any]:
    match prompt:
        case str(text) | [str(text)]:
            return {"text": text}
        case [[*token_ids]] | [*token_ids] if token_ids and all(type(each) is int and each >= 0 for each in token_ids):
            return {"token_ids": tuple(token_ids)}
        case [str(), *_]:
            raise RequestError("one prompt at a time", code="unsupported_parameter", param="prompt")
    raise RequestError("prompt: a text or a list of token ids was expected", param="prompt")


def _messages(messages: list[Said] | None) -> tuple[ChatMessage, ...]:
    if not messages:
        raise RequestError("messages: at least one was expected", param="messages")
    return tuple(ChatMessage("system" if said.role == "developer" else said.role, _text(said)) for said in messages)


def _text(said: Said) -> str:
    if not isinstance(said.content, list):
        return said.content or ""
    for part in said.content:
        if part.type != "text" or part.text is None:
            raise RequestError(f"a message's part of type {part.type!r} is not to be had here", param="messages")
    return "".join(part.text or "" for part in said.content)
