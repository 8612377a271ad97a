"""What somebody brings who wants to go on with a session, and what is known where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.host import Host
from tuibench.core.run.spec import Calibration, EvalText
from tuibench.models.local import LocalModel


@dataclass(frozen=True, slots=True)
class GivenTexts:
    """The texts that somebody names."""

    eval_text: EvalText | None
    """What quality is measured on; None leaves it out."""
    running_text: EvalText
    """What a sweep's prompts are cut from."""
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Asked:
    """A setting that is named although the session has its own: it has to be the same."""

    name: str
    """Of the field of `RunSpec`."""
    value: object
    called: str
    """How whoever named it calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequest:
    """Which session is gone on with, and how."""

    path: Path
    model: str | None = None
    """The model that is named for it; None takes one with the session's weights."""
    perhaps: str | None = None
    """With no `model`, what else the session's model may be called here: the name of a folder, for example."""
    texts: GivenTexts | None = None
    """None takes those that the session was measured with, where they are the ones that ship."""
    timeout_s: float | None = None
    asked: tuple[Asked, ...] = ()
    control: bool = False
    """Whether a control is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What is known where a run is to go on; asked only for what the session needs."""

    find_model: Callable[[str], LocalModel | None]
    """May raise `ModelError`, which is as good as None."""
    server: Callable[[Endpoint], Endpoint | None]
    """Returns the server that is called as the session's is, with what its key is in."""
    hosts: Callable[[], Mapping[str, Host]] | None = None
    """Returns other machines by name; None where none can be measured on."""
