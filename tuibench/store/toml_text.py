"""TOML as session files spell it: tomli-w's, with long arrays of numbers filled into lines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

import tomli_w

_WIDTH = 110
# A string cannot match: tomli-w escapes line ends in strings.
_NUMBER_ARRAY = re.compile(r"\[\n(?:    -?\d+,\n)+\]")


def toml_text(table: Mapping[str, Any]) -> str:
    """Return a table as TOML. Numbers of an array share lines: one line for each of 128 gaps would bury the rest."""
    return _NUMBER_ARRAY.sub(_filled, tomli_w.dumps(table))


def _filled(array: re.Match[str]) -> str:
    numbers = " ".join(array[0][1:-1].split())
    filled = textwrap.fill(numbers, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"[\n{filled}\n]"
