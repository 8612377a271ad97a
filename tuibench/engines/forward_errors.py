"""What a model's forward pass in PyTorch raises where it cannot run, told apart from a lack of memory."""

from __future__ import annotations

FORWARD_ERRORS = (AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""Models are programs of many authors: these are what a wrong argument, shape or kind of layer ends in."""
_MOST_CHARS = 300


def raise_if_out_of_memory(error: BaseException) -> None:
    """Raise the error again if the allocator gave up: that is not the fault of the model."""
    if "allocate memory" in str(error):
        raise error


def one_line(error: BaseException) -> str:
    """Return an exception's kind and text in one line of reasonable length."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}…"
