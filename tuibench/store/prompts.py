"""Prompts to measure with: those used before, those kept in a folder, and a few that ship."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tuibench.core.format import as_text
from tuibench.core.run.spec import DEFAULT_PROMPT

_MOST_REMEMBERED = 200
_LARGEST_BYTES = 1 << 20

SHIPPED = {
    "kv-cache": DEFAULT_PROMPT,
    "list": "List twelve things that make a good engineering document. One line each.",
    "code": "Write a Python function that returns the n-th Fibonacci number without recursion, with a docstring.",
    "summary": (
        "Summarise in two sentences: The tide gauge at Brest has recorded the level of the sea since 1711. The oldest"
        " readings were taken by eye, twice a day, on a staff of wood; today a radar looks down on the water every"
        " minute. Between the two lies the longest series of its kind, and it shows a sea that rose slowly for a"
        " century and faster since 1900."
    ),
    "story": "Continue the story: The lighthouse keeper had not spoken to anybody for eleven days when the radio",
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt and where it comes from."""

    name: str
    """Of its file, or of one that ships; empty for one used before."""
    text: str


@dataclass(frozen=True, slots=True)
class PromptLibrary:
    """The prompts of a folder, one UTF-8 text file each, before those that ship."""

    folder: Path

    def prompts(self) -> tuple[list[Prompt], list[str]]:
        """Return the prompts, and one line for each file that cannot be used."""
        found: dict[str, Prompt] = {}
        problems = []
        for path in sorted(self.folder.glob("*.txt")) + sorted(self.folder.glob("*.md")):
            try:
                found.setdefault(path.stem, Prompt(as_text(path.stem), _read(path)))
            except (OSError, ValueError) as error:
                problems.append(f"{path.name}: {error}")
        shipped = [Prompt(name, text) for name, text in SHIPPED.items() if name not in found]
        return [*found.values(), *shipped], problems


def _read(path: Path) -> str:
    """Return a prompt.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not UTF-8 text, is empty, or larger than any model's window.
    """
    if path.stat().st_size > _LARGEST_BYTES:
        raise ValueError("larger than 1 MiB, which no model's window holds")
    text = path.read_text(encoding="utf-8-sig").strip()
    if not text:
        raise ValueError("empty: write a prompt into it")
    return text


class PromptHistory:
    """The prompts that were measured with, newest last, one JSON string a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prompts(self) -> list[str]:
        """Return them; lines that are damaged are left out, and a missing file is an empty history."""
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return []
        return list(_decoded(lines))[-_MOST_REMEMBERED:]

    def add(self, text: str) -> None:
        """Remember a prompt as the newest one; used before, it moves to the end.

        Raises:
            OSError: The file cannot be written.
        """
        kept = [known for known in self.prompts() if known != text][-(_MOST_REMEMBERED - 1) :]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_bytes(b"".join(msgspec.json.encode(known) + b"\n" for known in (*kept, text)))
        temporary.replace(self._path)


def _decoded(lines: Iterable[bytes]) -> Iterable[str]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=str)
        except msgspec.DecodeError:
            continue
