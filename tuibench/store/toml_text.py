"""TOML as session files spell it: tomli-w's, with the items of an array filled into lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import tomli_w

_WIDTH = 110
_INDENT = "    "
# Only an array matches, never a string's content: tomli-w escapes line ends in strings.
_ARRAY = re.compile(r'\[\n(?:    (?:-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|"(?:[^"\\\n]|\\.)*"),\n)+\]')


def toml_text(table: Mapping[str, Any]) -> str:
    """Return a table as TOML. Array items share lines: one line for each of 128 gaps would bury the rest."""
    return _ARRAY.sub(_filled, tomli_w.dumps(table))


def array_table(name: str, table: Mapping[str, Any]) -> str:
    """Return one `[[name]]` table, also where tomli-w would write a short one as an array on one line.

    A session file is cut at its `[[`: a table without one would be lost in the table before it.
    """
    text = toml_text({name: [table]})
    return text if text.startswith("[[") else f"[[{name}]]\n{toml_text(table)}"


def _filled(array: re.Match[str]) -> str:
    lines = [""]
    for item in array[0].splitlines()[1:-1]:
        if len(lines[-1]) + len(item.strip()) >= _WIDTH and lines[-1]:
            lines.append("")
        lines[-1] += f"{item.strip()} "
    if len(lines) == 1:
        return f"[{lines[0].rstrip(', ')}]"
    return "\n".join(["[", *(f"{_INDENT}{line.rstrip()}" for line in lines), "]"])
