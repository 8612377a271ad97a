"""The text that quality is measured on: the one that ships, or the user's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tuibench import paths
from tuibench.core.format import as_text
from tuibench.core.run.spec import EvalText

_MAX_BYTES = 16 << 20


class EvalFileError(Exception):
    """The file cannot serve; the message names it, the reason and the remedy."""


@cache
def shipped_text() -> EvalText:
    """Return the text that is used unless the user names one; the same object each time, as every run keeps it."""
    path = paths.evaluation_text()
    return EvalText(name=path.stem, text=path.read_text(encoding="utf-8"))


def text_from(path: Path) -> EvalText:
    """Return a user's text.

    Raises:
        EvalFileError: It cannot be read, is empty or not UTF-8 text.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise EvalFileError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, of which only a part would be used")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EvalFileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EvalFileError(
            f"{path}: not UTF-8 text (byte {error.start}); convert it first, for example with `iconv -t utf-8`"
        ) from error
    if not text.strip():
        raise EvalFileError(f"{path}: empty: quality is measured on a text of a thousand words or more")
    return EvalText(name=as_text(path.name), text=text)
