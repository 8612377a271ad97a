"""What compiling C++ takes of a machine."""

from __future__ import annotations

import os
import shutil

_COMPILERS = ("c++", "g++", "clang++")
_MAKERS = ("make", "ninja")


def missing_tools() -> list[str]:
    """Return what is not there, in words; empty where everything is."""
    compilers = (os.environ["CXX"],) if os.environ.get("CXX") else _COMPILERS
    wanted = {"cmake": ("cmake",), "a C++ compiler": compilers, "make": _MAKERS}
    return [what for what, names in wanted.items() if not any(map(shutil.which, names))]
