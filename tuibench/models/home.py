"""The interpreter that tuibench is installed in, for workers that run on another one.

What only it can do (the reference's own pass needs PyTorch), and which versions it has, workers learn from variables
that their parent sets.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

_PYTHON, _PATH, _VERSIONS = "TUIBENCH_HOME_PYTHON", "TUIBENCH_HOME_PYTHONPATH", "TUIBENCH_HOME_VERSIONS"
_LIBRARIES = ("torch", "transformers")


def home_variables() -> dict[str, str]:
    """Return what a worker on another interpreter is told; called in this one."""
    versions = " ".join(f"{library}=={version(library)}" for library in _LIBRARIES)
    return {_PYTHON: sys.executable, _PATH: os.environ.get("PYTHONPATH", ""), _VERSIONS: versions}


def home_python() -> tuple[str, dict[str, str]]:
    """Return the interpreter that tuibench is installed in, and the environment to start it with."""
    if _PYTHON not in os.environ:
        return sys.executable, dict(os.environ)
    others = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONNOUSERSITE"}}
    return os.environ[_PYTHON], others | {"PYTHONPATH": os.environ[_PATH]}


def home_versions(*libraries: str) -> dict[str, str]:
    """Return the versions of libraries where tuibench is installed."""
    told = dict(pair.split("==") for pair in os.environ.get(_VERSIONS, "").split())
    return {library: told.get(library) or version(library) for library in libraries}
