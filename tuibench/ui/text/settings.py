"""How much is measured: presets, and the numbers behind them, as text that is typed and as what it means. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuibench.core import format as fmt
from tuibench.core.run.control import is_control
from tuibench.core.run.number_lists import MOST_TOKENS, NumberListError, numbers_in
from tuibench.core.run.presets import PRESETS as LOADS
from tuibench.core.run.presets import USERS_PROMPT_TOKENS
from tuibench.core.run.shape import Shape, Sweep

if TYPE_CHECKING:
    from tuibench.core.run.spec import RunSpec

TYPED = "typed"
"""What the load of a prompt is called that was typed."""
OWN = "own"
"""What numbers are called that are no preset's."""

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Numbers that were checked."""

    max_new_tokens: Numbers
    n_trials: int
    n_threads: Numbers
    prompt_tokens: Numbers = ()
    """Lengths of prompts that are cut from the evaluation text; none takes the prompt that was typed."""
    depth_tokens: Numbers = (0,)
    n_users: Numbers = (1,)
    quality: bool = False
    precision: float | None = None
    """How well each decode speed shall be known, as a fraction; more trials are taken until it is."""
    budget_s: float | None = None
    """No further round begins after this time."""
    temperature: float = 0.0
    raw: bool = False
    """Whether the prompt goes to the model without its chat template."""
    control: bool = False
    """Whether what the others are compared with is measured twice."""

    @property
    def summary(self) -> str:
        """All of them in one line; what is as usual is left out."""
        trials = f"{self.n_trials}{'+' if self.precision else ''}"
        parts = [f"{_counted(self.max_new_tokens, 'token')} × {trials}", _counted(self.n_threads, "thread")]
        parts += ["quality"] if self.quality else []
        parts += [f"±{100 * self.precision:g} %"] if self.precision else []
        parts += [f"{fmt.clock(self.budget_s)} at most"] if self.budget_s else []
        parts += [f"temperature {self.temperature:g}"] if self.temperature else []
        parts += ["raw"] if self.raw else []
        parts += ["control"] if self.control else []
        if self.prompt_tokens:
            name = f"{self.load}: " if self.load in LOADS else ""
            parts.append(f"{name}{_counted(self.prompt_tokens, 'token')} of prompt")
        parts += [f"depth {_listed(self.depth_tokens)}"] if any(self.depth_tokens) else []
        parts += [_counted(self.n_users, "user")] if self.n_users != (1,) else []
        n_shapes = len(self.shapes)
        parts += [fmt.counted(n_shapes, "shape")] if n_shapes > 1 else []
        return " · ".join(parts)

    @property
    def load(self) -> str:
        """What the load is called: of a typed prompt, of a preset, or of nobody's numbers."""
        if not self.prompt_tokens:
            return TYPED
        found = (name for name in LOADS if self.with_load(name) == self)
        return next(found, OWN)

    def with_load(self, name: str) -> Settings:
        """Return them with a load's numbers; without, with the prompt that was typed."""
        if name in LOADS:
            load = LOADS[name]
            return replace(
                self,
                prompt_tokens=(load.prompt_tokens,),
                depth_tokens=(0,),
                max_new_tokens=(load.max_new_tokens,),
                n_users=(load.n_users,),
            )
        return replace(self, prompt_tokens=()) if name == TYPED else self

    @property
    def sweep(self) -> Sweep | None:
        """The shapes to measure; None for one with the prompt that was typed and nothing before it."""
        sweep = Sweep(
            prompt_tokens=self.prompt_tokens,
            depth_tokens=self.depth_tokens,
            max_new_tokens=self.max_new_tokens,
            n_threads=self.n_threads,
            n_users=self.n_users,
        )
        one = sweep.n_shapes == 1 and self.n_users == (1,)
        return None if one and not sweep.needs_text else sweep

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """What is asked of each method."""
        one = Shape(max_new_tokens=max(self.max_new_tokens), n_threads=max(self.n_threads))
        return self.sweep.shapes() if self.sweep else (one,)

    def most_tokens(self, n_typed: int) -> int:
        """Return how many tokens of all users a KV-cache holds at most, with a typed prompt of so many."""
        return max(
            each.n_users * (each.known_tokens + (n_typed if each.prompt_tokens is None else 0)) for each in self.shapes
        )

    @property
    def preset(self) -> str:
        """The preset that these are, apart from what no preset says."""
        mine = (list(self.max_new_tokens), self.n_trials, self.quality, self.precision)
        found = (
            name
            for name, each in PRESETS.items()
            if ([each.max_new_tokens], each.n_trials, each.quality, each.precision) == mine
        )
        return next(found, OWN)

    def with_preset(self, name: str) -> Settings:
        """Return them with a preset's numbers."""
        of = PRESETS.get(name)
        if of is None:
            return self
        return replace(
            self, max_new_tokens=(of.max_new_tokens,), n_trials=of.n_trials, quality=of.quality, precision=of.precision
        )


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings under a name."""

    max_new_tokens: int
    n_trials: int
    quality: bool
    precision: float | None = None


PRESETS = {
    "quick": Preset(48, 1, quality=False),
    "standard": Preset(128, 3, quality=True),
    "thorough": Preset(256, 5, quality=True, precision=0.02),
}
DEFAULT_PRESET = "standard"


def first_settings(n_threads: int) -> Settings:
    """Return what is asked for until somebody asks for something else."""
    return Settings(max_new_tokens=(1,), n_trials=1, n_threads=(n_threads,)).with_preset(DEFAULT_PRESET)


def settings_of(spec: RunSpec, precision: float | None) -> Settings:
    """Return what a run was asked for with.

    Args:
        spec: The run.
        precision: That it aims at.
    """
    sweep = spec.sweep or Sweep(max_new_tokens=(spec.max_new_tokens,), n_threads=(spec.n_threads,))
    return Settings(
        max_new_tokens=sweep.max_new_tokens,
        n_trials=spec.n_trials,
        n_threads=sweep.n_threads,
        prompt_tokens=sweep.prompt_tokens,
        depth_tokens=sweep.depth_tokens,
        n_users=sweep.n_users,
        quality=spec.eval_text is not None,
        precision=precision,
        budget_s=spec.budget_s,
        temperature=spec.sampling.temperature,
        raw=spec.raw,
        control=any(map(is_control, spec.methods)),
    )


class SettingsError(ValueError):
    """A text cannot be used; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Field:
    """One number of the form."""

    name: str
    explanation: str


FIELDS = (
    Field("prompt", "tokens of a text; empty: as typed"),
    Field("depth", "tokens in the KV-cache beforehand"),
    Field("tokens", "to generate; lists as 64,512 or 1-8*2"),
    Field("threads", "of each worker"),
    Field("users", "at once, each with its own prompt"),
    Field("trials", "of each method; three give an interval"),
    Field("precision", "in %: adds trials until it is reached"),
    Field("budget", "seconds; then no further round begins"),
    Field("temperature", "0 is greedy, with forced length"),
)
LISTS = frozenset({"prompt", "depth", "tokens", "threads", "users"})
"""Fields that hold several numbers: every combination is measured."""
SWITCHES = {
    "quality": "compare predictions with the reference",
    "raw": "the prompt without its chat template",
    "control": "measure the yardstick a second time",
}


def texts(settings: Settings) -> dict[str, str]:
    """Return what stands in the fields."""
    return {
        "prompt": _listed(settings.prompt_tokens),
        "depth": _listed(settings.depth_tokens),
        "tokens": _listed(settings.max_new_tokens),
        "threads": _listed(settings.n_threads),
        "users": _listed(settings.n_users),
        "trials": str(settings.n_trials),
        "precision": "" if settings.precision is None else f"{100 * settings.precision:g}",
        "budget": "" if settings.budget_s is None else f"{settings.budget_s:g}",
        "temperature": f"{settings.temperature:g}",
    }


def _listed(numbers: Numbers) -> str:
    return ",".join(map(str, numbers))


def _counted(numbers: Numbers, what: str) -> str:
    return fmt.counted(numbers[0], what) if len(numbers) == 1 else f"{_listed(numbers)} {what}s"


def parse(fields: Mapping[str, str], switches: Mapping[str, bool], n_cpus: int) -> Settings:
    """Return what is meant.

    Raises:
        SettingsError: A field does not hold a number, or holds one that makes no sense here; the first one is told.
    """
    lists = {name: numbers(name, fields[name], n_cpus) for name in LISTS}
    precision = number("precision", fields["precision"])
    if max(lists["users"]) > 1:
        _check_users(lists["prompt"], number("temperature", fields["temperature"]))
    return Settings(
        max_new_tokens=lists["tokens"],
        n_trials=int(number("trials", fields["trials"]) or 0),
        n_threads=lists["threads"],
        prompt_tokens=lists["prompt"],
        depth_tokens=lists["depth"],
        n_users=lists["users"],
        precision=None if precision is None else precision / 100,
        budget_s=number("budget", fields["budget"]),
        temperature=number("temperature", fields["temperature"]) or 0.0,
        quality=switches["quality"],
        raw=switches["raw"],
        control=switches["control"],
    )


def _check_users(prompts: Numbers, temperature: float | None) -> None:
    if not prompts:
        raise SettingsError(f"users: each gets a prompt of their own – set prompt, for example {USERS_PROMPT_TOKENS}")
    if temperature:
        raise SettingsError("users: all get answers of one length – set temperature 0")


def check(name: str, text: str, n_cpus: int) -> None:
    """Look at one field.

    Raises:
        SettingsError: As for `parse`.
    """
    if name in LISTS:
        numbers(name, text, n_cpus)
    else:
        number(name, text)


def numbers(name: str, text: str, n_cpus: int) -> Numbers:
    """Return the numbers in a field that holds a list.

    Raises:
        SettingsError: As for `parse`.
    """
    if name == "prompt" and not text.strip():
        return ()
    least, most = (0 if name == "depth" else 1), (n_cpus if name == "threads" else MOST_TOKENS)
    try:
        return numbers_in(text, least=least, most=most)
    except NumberListError as error:
        usable = f" ({fmt.counted(n_cpus, 'CPU')} usable here)" if name == "threads" else ""
        raise SettingsError(f"{name}: {error}{usable}") from None


def number(name: str, text: str) -> float | None:
    """Return the number in a field that holds one; None where it may be empty and is.

    Raises:
        SettingsError: As for `parse`.
    """
    text = text.strip().removesuffix("%").strip()
    match name:
        case "trials":
            return _whole(name, text)
        case "precision":
            return between(name, text, lambda value: 0 < value <= 100, "more than 0, up to 100, or nothing")  # noqa: PLR2004
        case "budget":
            return between(name, text, lambda value: 0 < value <= 10**7, "more than 0, or nothing")
        case _:
            return between(name, text or "0", lambda value: 0 <= value <= 100, "0 to 100")  # noqa: PLR2004


def _whole(name: str, text: str) -> int:
    try:
        found = int(text)
    except ValueError:
        raise SettingsError(f"{name}: {text or 'nothing'} is not a whole number – set 1 or more") from None
    if found < 1:
        raise SettingsError(f"{name}: {found} is too few – set 1 or more")
    return found


def between(name: str, text: str, allowed: Callable[[float], bool], remedy: str) -> float | None:
    """Return the number in a field that may be empty; None where it is.

    Raises:
        SettingsError: It is not a number, or not an allowed one; the message ends with the remedy.
    """
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        raise SettingsError(f"{name}: {text} is not a number – set {remedy}") from None
    if not allowed(found):
        raise SettingsError(f"{name}: {text} makes no sense – set {remedy}")
    return found
