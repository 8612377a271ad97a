"""How much is measured: presets, and the numbers behind them, as text that is typed and as what it means. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tuibench.core import format as fmt
from tuibench.core.run.presets import PRESETS as LOADS
from tuibench.core.run.shape import Sweep

TYPED = "typed"
"""What the load of a prompt is called that was typed."""
OWN = "own"
"""What numbers are called that are no preset's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Numbers that were checked."""

    max_new_tokens: int
    n_trials: int
    n_threads: int
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
    load: str = ""
    """A load by its name: the prompt is cut from the evaluation text; empty takes the prompt that was typed."""

    @property
    def summary(self) -> str:
        """All of them in one line; what is as usual is left out."""
        trials = f"{self.n_trials}{'+' if self.precision else ''}"
        parts = [f"{fmt.counted(self.max_new_tokens, 'token')} × {trials}", fmt.counted(self.n_threads, "thread")]
        parts += ["quality"] if self.quality else []
        parts += [f"±{100 * self.precision:g} %"] if self.precision else []
        parts += [f"{fmt.clock(self.budget_s)} at most"] if self.budget_s else []
        parts += [f"temperature {self.temperature:g}"] if self.temperature else []
        parts += ["raw"] if self.raw else []
        parts += ["control"] if self.control else []
        parts += [f"{self.load}: {LOADS[self.load].prompt_tokens} tokens of prompt"] if self.load else []
        return " · ".join(parts)

    @property
    def sweep(self) -> Sweep | None:
        """The shape that the load stands for; None without one."""
        if not self.load:
            return None
        return Sweep(
            prompt_tokens=(LOADS[self.load].prompt_tokens,),
            max_new_tokens=(self.max_new_tokens,),
            n_threads=(self.n_threads,),
        )

    @property
    def preset(self) -> str:
        """The preset that these are, apart from what no preset says."""
        mine = (self.max_new_tokens, self.n_trials, self.quality, self.precision)
        found = (
            name
            for name, each in PRESETS.items()
            if (each.max_new_tokens, each.n_trials, each.quality, each.precision) == mine
        )
        return next(found, OWN)

    def with_preset(self, name: str) -> Settings:
        """Return them with a preset's numbers."""
        of = PRESETS.get(name)
        if of is None:
            return self
        return replace(
            self, max_new_tokens=of.max_new_tokens, n_trials=of.n_trials, quality=of.quality, precision=of.precision
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
    return Settings(max_new_tokens=1, n_trials=1, n_threads=n_threads).with_preset(DEFAULT_PRESET)


def load_of(sweep: Sweep | None) -> str:
    """Return the name of the load that a run was measured for; empty where it has none."""
    prompts = sweep.prompt_tokens if sweep is not None and sweep.n_shapes == 1 else ()
    return next((name for name, load in LOADS.items() if (load.prompt_tokens,) == prompts), "")


class SettingsError(ValueError):
    """A text cannot be used; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Field:
    """One number of the form."""

    name: str
    explanation: str


FIELDS = (
    Field("tokens", "to generate in each trial"),
    Field("trials", "of each method; three give an interval"),
    Field("threads", "of each worker"),
    Field("precision", "per cent: more trials until so well known"),
    Field("budget", "seconds; then no further round begins"),
    Field("temperature", "0 is greedy, with forced length"),
)
SWITCHES = {
    "quality": "compare predictions with the reference",
    "raw": "the prompt without its chat template",
    "control": "measure the yardstick a second time",
}


def texts(settings: Settings) -> dict[str, str]:
    """Return what stands in the fields."""
    return {
        "tokens": str(settings.max_new_tokens),
        "trials": str(settings.n_trials),
        "threads": str(settings.n_threads),
        "precision": "" if settings.precision is None else f"{100 * settings.precision:g}",
        "budget": "" if settings.budget_s is None else f"{settings.budget_s:g}",
        "temperature": f"{settings.temperature:g}",
    }


def parse(fields: Mapping[str, str], switches: Mapping[str, bool], n_cpus: int) -> Settings:
    """Return what is meant.

    Raises:
        SettingsError: A field does not hold a number, or holds one that makes no sense here; the first one is told.
    """
    numbers = {field.name: number(field.name, fields[field.name], n_cpus) for field in FIELDS}
    precision, budget = numbers["precision"], numbers["budget"]
    return Settings(
        max_new_tokens=int(numbers["tokens"] or 0),
        n_trials=int(numbers["trials"] or 0),
        n_threads=int(numbers["threads"] or 0),
        precision=None if precision is None else precision / 100,
        budget_s=budget,
        temperature=numbers["temperature"] or 0.0,
        quality=switches["quality"],
        raw=switches["raw"],
        control=switches["control"],
    )


def number(name: str, text: str, n_cpus: int) -> float | None:
    """Return the number in a field; None where it may be empty and is.

    Raises:
        SettingsError: As for `parse`.
    """
    text = text.strip().removesuffix("%").strip()
    match name:
        case "tokens" | "trials" | "threads":
            found = _whole(name, text)
            if name == "threads" and found > n_cpus:
                usable = fmt.counted(n_cpus, "CPU")
                raise SettingsError(f"threads: {found} asked, {usable} usable here – set 1 to {n_cpus}")
            return found
        case "precision":
            return _between(name, text, lambda value: 0 < value <= 100, "more than 0, up to 100, or nothing")  # noqa: PLR2004
        case "budget":
            return _between(name, text, lambda value: 0 < value <= 10**7, "more than 0, or nothing")
        case _:
            return _between(name, text or "0", lambda value: 0 <= value <= 100, "0 to 100")  # noqa: PLR2004


def _whole(name: str, text: str) -> int:
    try:
        found = int(text)
    except ValueError:
        raise SettingsError(f"{name}: {text or 'nothing'} is not a whole number – set 1 or more") from None
    if found < 1:
        raise SettingsError(f"{name}: {found} is too few – set 1 or more")
    return found


def _between(name: str, text: str, allowed: Callable[[float], bool], remedy: str) -> float | None:
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        raise SettingsError(f"{name}: {text} is not a number – set {remedy}") from None
    if not allowed(found):
        raise SettingsError(f"{name}: {text} makes no sense – set {remedy}")
    return found
