"""What the parts of the dashboard tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from tuibench.core.run.state import RunState


@dataclass
class RunProgressed(Message):
    """A newer snapshot of the run that is shown."""

    state: RunState
    source: object
    """The run or replay it is of: what a source says after it was given up is not shown."""

    def can_replace(self, message: Message) -> bool:
        """Let a newer snapshot take the place of one that nobody has looked at yet."""
        return isinstance(message, RunProgressed)


@dataclass
class FeedEnded(Message):
    """No more snapshots will come."""

    state: RunState
    session: Path | None = None
    """Where the run is kept; None when nothing was finished, or for a replay."""
    problem: str | None = None
    """Why the source of events broke; None when it ended as it should."""


@dataclass
class SessionChosen(Message):
    """A stored session shall be opened."""

    path: Path
    replay: bool = False
    """Whether it plays at once."""


@dataclass
class ResumeWanted(Message):
    """What is missing of a stored session shall be measured."""

    path: Path
    more: bool = False
    """Whether further trials shall be taken, without a question, where nothing is missing."""


@dataclass
class ComparisonWanted(Message):
    """Stored sessions shall be laid side by side."""

    paths: tuple[Path, ...]


@dataclass
class MethodPointed(Message):
    """The user moved to a method: its panel shall be shown."""

    method: str


@dataclass
class MethodToggled(Message):
    """The user selected or deselected a method by name."""

    method: str


@dataclass
class ReportWanted(Message):
    """A stored session shall be written into a file to pass on."""

    path: Path


@dataclass
class TakeWanted(Message):
    """A method of a stored session shall go into a folder of its own."""

    path: Path
    method: str
    methods: tuple[str, ...]
    """All that were measured, the fastest first."""


@dataclass
class PageWanted(Message):
    """A page of the manual shall be opened."""

    name: str
