"""Name, tags and note that are given to a session afterwards.

They are appended to the session file as an `[[annotations]]` table: the file stays append-only, what was measured is
not touched, and who is sent the file sees them. A tuibench that does not know the table reads over it.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import msgspec

from tuibench.store.append import append
from tuibench.store.schema import SCHEMA_VERSION, Annotation, SessionError
from tuibench.store.session import load_header
from tuibench.store.toml_text import array_table

_SEPARATOR = re.compile(r"[\s,;#]+")


def tags_from(text: str) -> tuple[str, ...]:
    """Return the tags of a line as it is typed: separated by blanks or commas, each once, in lower case."""
    return tuple(dict.fromkeys(tag.lower() for tag in _SEPARATOR.split(text) if tag))


def annotate(path: Path, annotation: Annotation) -> None:
    """Append an annotation, and wait until the disk has it.

    Raises:
        SessionError: The file cannot be written, or a newer tuibench wrote it.
    """
    if load_header(path).schema_version > SCHEMA_VERSION:
        raise SessionError(f"{path.name}: written by a newer tuibench, which this one does not add to")
    table = msgspec.to_builtins(annotation, builtin_types=(datetime,))
    try:
        append(path, f"\n{array_table('annotations', table)}")
    except OSError as error:
        raise SessionError(f"{path.name}: cannot be written: {error.strerror}") from error
