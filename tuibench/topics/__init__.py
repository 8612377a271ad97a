"""The manual that travels with the program: Markdown, shown by `tuibench help` and the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Topic:
    """One page of the manual."""

    name: str
    """As it is asked for."""
    title: str


_ORDER = (
    *("numbers", "lamps", "measuring", "pick", "sweeps", "users", "methods", "models", "runtimes", "servers", "hosts"),
    *("sessions", "take", "settings", "ssh"),
    *("figures", "tried", "security", "plugins", "benchmarks"),
)
"""What a user needs first comes first."""


def topics() -> tuple[Topic, ...]:
    """Return the pages, in reading order."""
    return tuple(Topic(name, text(name).partition("\n")[0].removeprefix("# ")) for name in _ORDER)


def text(name: str) -> str:
    """Return a page as Markdown; its first line is its title.

    Raises:
        KeyError: There is no such page.
    """
    if name not in _ORDER:
        raise KeyError(name)
    return files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8")
