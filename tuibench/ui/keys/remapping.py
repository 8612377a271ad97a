"""The user's own keys, checked against the table before Textual sees them: a wrong one must not disable the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from textual.keys import Keys

from tuibench.ui.keys.active import letter_of
from tuibench.ui.keys.keymap import KEYS, Key

_EVERYWHERE = ("app", "list")
_MODIFIERS = frozenset({"ctrl", "alt", "shift", "super", "meta", "hyper"})
_NAMES = frozenset(key.value for key in Keys)
_TEXTUALS = {"ctrl+q": "quit", "ctrl+c": "copy", "ctrl+p": "the palette", "tab": "the next field"}


@dataclass(frozen=True, slots=True)
class Remapping:
    """What of the user's keys can be used."""

    keymap: dict[str, str]
    """Binding id → keys, as `App.set_keymap` takes it."""
    problems: tuple[str, ...] = ()
    """One line for each that was left out."""


def remap(wanted: Mapping[str, str]) -> Remapping:
    """Check the user's keys: ids that exist, keys that exist, and none with two meanings in one place."""
    keymap: dict[str, str] = {}
    problems: list[str] = []
    for name, keys in wanted.items():
        problem = _problem(name, _split(keys), keymap)
        if problem is None:
            keymap[name] = ",".join(_split(keys))
        else:
            problems.append(f"keys: {name}: {problem}")
    return Remapping(keymap, tuple(problems))


def _split(keys: str) -> list[str]:
    return [key.strip() for key in keys.split(",") if key.strip()]


def _problem(name: str, keys: list[str], taken: Mapping[str, str]) -> str | None:
    places = [place for place, entries in KEYS.items() if any(entry.id == name for entry in entries)]
    if not places:
        return "no such action; the help panel (?) lists them"
    if not keys:
        return "no key given"
    first = any(entry.id == name and entry.priority for entry in chain.from_iterable(KEYS.values()))
    for key in keys:
        if not _is_key(key):
            return f"{key} is not a key; for example f6, ctrl+n, x, question_mark"
        if first and _prints(key):
            return f"{key} could no longer be typed into the prompt"
        if key in _TEXTUALS:
            return f"{key} is {_TEXTUALS[key]}"
        for other in _beside(places):
            if other.id != name and key in _split(taken.get(other.id, other.keys)):
                return f"{key} is {other.label} ({other.id})"
    return None


def _beside(places: list[str]) -> Iterator[Key]:
    """Yield all keys that work where these do."""
    if set(places) & set(_EVERYWHERE):
        return chain.from_iterable(KEYS.values())
    return chain.from_iterable(KEYS[place] for place in (*places, *_EVERYWHERE))


def _is_key(key: str) -> bool:
    *modifiers, name = key.split("+") if len(key) > 1 else [key]
    return _MODIFIERS.issuperset(modifiers) and (len(name) == 1 or name in _NAMES or letter_of(name) is not None)


def _prints(key: str) -> bool:
    return letter_of(key) is not None
