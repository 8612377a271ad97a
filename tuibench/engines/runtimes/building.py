"""Artifacts that a child process makes: what that takes of memory is gone with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from tuibench.engines.base import Progress, UnsupportedModelError
from tuibench.models.artifacts import (
    ArtifactError,
    Recipe,
    as_options,
    discard_unfinished,
    find_artifact,
    versions_of,
)
from tuibench.models.home import home_versions
from tuibench.models.local import ModelError
from tuibench.models.references import model_digest
from tuibench.models.tether import tethered

Kind = TypeVar("Kind", bound=str)
Tell = Callable[[int, int], None]
"""Called with steps done and steps in all."""

_REFUSED = 3
_UNSUPPORTED = 4


def converters_recipe(method: str, library: str, layout: str, model_dir: Path, precision: str) -> Recipe:
    """Return what identifies the files that a library's own converter makes of a model.

    Args:
        method: That runs them.
        library: The distribution that the converter comes with; it needs PyTorch and transformers, too.
        layout: Raised whenever what is kept besides the converter's files changes.
        model_dir: The model.
        precision: Of the weights.
    """
    return Recipe(
        method=method,
        model_digest=model_digest(model_dir, "config.json"),
        options=as_options({"precision": precision}),
        versions={"layout": layout, **versions_of(library), **home_versions("torch", "transformers")},
    )


def package_folder(name: str) -> Path:
    """Return where an installed package lies, without importing it.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    found = find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{name} is not installed", name=name)
    return Path(found.origin).parent


def build_in_child(
    command: Sequence[str],
    recipe: Recipe,
    label: str,
    progress: Progress,
    variables: Mapping[str, str] | None = None,
) -> bool:
    """Have an artifact made unless the cache has it; return whether it had to be.

    Args:
        command: What makes it; its `main` ends in `run_build`.
        recipe: Of the artifact.
        label: What is being done, in words.
        progress: Told what the child tells.
        variables: The child's environment; None for this process's.

    Raises:
        UnsupportedModelError: The runtime does not run such a model.
        ArtifactError: It cannot be made.
    """
    progress("looking into the cache", 0, None)
    if find_artifact(recipe) is not None:
        return False
    progress(label, 0, None)
    last = ""
    with subprocess.Popen(
        tethered(list(command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=variables
    ) as child:
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        for line in child.stdout:
            last = line.strip()
            done, _, total = last.partition(" ")
            if done.isdecimal() and total.isdecimal():
                progress(label, int(done), int(total))
    if child.returncode == _UNSUPPORTED:
        raise UnsupportedModelError(last)
    if child.returncode == _REFUSED:
        raise ArtifactError(last)
    if child.returncode:
        discard_unfinished(recipe)
        raise ArtifactError(f"{label} ended with {child.returncode} (negative: the signal); see the log")
    return True


def run_named_build(kinds: Sequence[Kind], write: Callable[[Path, Kind, Tell], None]) -> None:
    """Run the build that the command line names: a model's folder, and what to make of it.

    Args:
        kinds: What can be made.
        write: Makes one; given the folder, which one, and what to call with steps done and steps in all.
    """
    model_dir, name = sys.argv[1:]
    kind = next(each for each in kinds if each == name)
    run_build(lambda tell: write(Path(model_dir), kind, tell))


def run_build(build: Callable[[Tell], None]) -> None:
    """Run a build in the child: progress and a refusal go to standard output, everything else to standard error.

    Args:
        build: Called with what to call with steps done and steps in all.
    """
    # What a library prints is no progress of ours.
    told = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(text: str) -> None:
        os.write(told, f"{text}\n".encode())

    try:
        build(lambda done, total: tell(f"{done} {total}"))
    except UnsupportedModelError as error:
        tell(" ".join(str(error).split()))
        sys.exit(_UNSUPPORTED)
    except (ModelError, ArtifactError) as error:
        tell(" ".join(str(error).split()))
        sys.exit(_REFUSED)
