"""Name, tags and note that are given to a session afterwards.

They are appended to the session file as an `[[annotations]]` table: the file stays append-only, what was measured is
not touched, and who is sent the file sees them. A tuibench that does not know the table reads over it.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

import msgspec

from tuibench.store.schema import Annotation, SessionError
from tuibench.store.toml_text import array_table

_SEPARATOR = re.compile(r"[\s,;#]+")


def tags_from(text: str) -> tuple[str, ...]:
    """Return the tags of a line as it is typed: separated by blanks or commas, each once, in lower case."""
    return tuple(dict.fromkeys(tag.lower() for tag in _SEPARATOR.split(text) if tag))


def annotate(path: Path, annotation: Annotation) -> None:
    """Append an annotation, and wait until the disk has it.

    Raises:
        SessionError: The file cannot be written.
    """
    table = msgspec.to_builtins(annotation, builtin_types=(datetime,))
    text = f"\n{array_table('annotations', table)}".encode()
    try:
        with path.open("r+b") as file:  # never creates: the file may have been deleted meanwhile
            end = file.seek(0, os.SEEK_END)
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise SessionError(f"{path.name}: cannot be written: {error.strerror}") from error
