"""PNG: the SVG plots as pixels."""

from __future__ import annotations

from importlib import import_module

from tuibench.core.results.comparison import Comparison

_SCALE = 2.0
"""Pixels per unit of the drawing: sharp on a dense screen and in print."""


class MissingExtraError(Exception):
    """A format needs a library that is not installed; the message names the command that installs it."""


def as_png(comparison: Comparison) -> bytes:
    """Return a comparison's plots as a picture.

    Raises:
        MissingExtraError: The library that draws it is not installed.
    """
    try:
        resvg = import_module("resvg_py")
    except ModuleNotFoundError as error:
        raise MissingExtraError("png needs the library resvg_py: `pip install 'tuibench[png]'`, or use svg") from error
    from tuibench.store.export.plots import as_svg  # noqa: PLC0415 - who only asks for the error draws nothing

    return bytes(resvg.svg_to_bytes(svg_string=as_svg(comparison), zoom=_SCALE))
