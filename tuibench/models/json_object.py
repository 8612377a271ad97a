"""A model's JSON files, read as transformers reads them: with numbers that standard JSON does not have.

Mamba-2 has no upper limit of its time step: a bare `Infinity` from transformers 4, a tagged one from 5.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

_HALF_CHARACTER = re.compile(rb"\\u[dD][89abAB]")
"""Mostly of a pair, which is a whole one."""
_TAG = "__float__"
_TAGGED = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


class JsonObjectError(ValueError):
    """A file does not hold a JSON object; the message gives the reason without the file's name."""


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in a UTF-8 file; `Infinity`, `-Infinity` and `NaN` are numbers, bare or tagged.

    Raises:
        JsonObjectError: There is none in it.
        OSError: It cannot be read.
    """
    content = path.read_bytes()
    try:
        value = json.loads(content.decode("utf-8"), object_hook=_untagged)
        if _HALF_CHARACTER.search(content):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise JsonObjectError(f"not UTF-8 text (byte {error.start})") from None
    except UnicodeEncodeError:
        raise JsonObjectError("half a character (a lone surrogate)") from None
    except RecursionError:
        raise JsonObjectError("nested too deeply") from None
    except ValueError as error:  # JSONDecodeError is one; a number of thousands of digits is another
        raise JsonObjectError(str(error)) from None
    if not isinstance(value, dict):
        raise JsonObjectError(f"a JSON object is expected, not {type(value).__name__}")
    return value


def _untagged(value: dict[str, Any]) -> Any:  # noqa: ANN401 - a number where it is tagged
    tagged = value.get(_TAG)
    return _TAGGED.get(tagged, value) if len(value) == 1 and isinstance(tagged, str) else value
