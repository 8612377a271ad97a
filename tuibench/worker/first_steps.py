"""The reference's first steps of a model, made once and kept: `python -m tuibench.worker.first_steps DIR` makes them.

A process of its own makes them: what PyTorch takes of memory is gone before the method that is measured loads.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.first_steps import FirstSteps
from tuibench.models.artifacts import CachedArtifact, find_artifact, make_artifact
from tuibench.models.home import home_python
from tuibench.models.lean_transformers import import_lean
from tuibench.models.local import ModelError
from tuibench.models.references import first_steps_recipe
from tuibench.models.tether import tethered

_FILE = "first_steps.npz"
_REFUSED = 3
"""Exit code for a model that the reference cannot run; the reason is on standard output."""


class NoFirstStepsError(Exception):
    """They could not be made, for a reason that says nothing about the model: memory, most of the time."""


def known_first_steps(model_dir: Path) -> FirstSteps | None:
    """Return what is kept, or None.

    Raises:
        ModelError: The model has no readable weights.
    """
    artifact = find_artifact(first_steps_recipe(model_dir))
    return None if artifact is None else _open(artifact)


def keep_first_steps(model_dir: Path, steps: FirstSteps) -> None:
    """Keep what the reference has predicted, for methods that cannot tell themselves.

    Raises:
        ArtifactError: The disk is full.
    """

    def write(directory: Path) -> None:
        np.savez(directory / _FILE, token_ids=np.array(steps.token_ids), logits=steps.logits)

    make_artifact(first_steps_recipe(model_dir), model_dir.name, write)


def make_first_steps(model_dir: Path) -> None:
    """Have a child process make and keep them; blocks.

    Raises:
        UnsupportedModelError: The reference cannot run this model.
        NoFirstStepsError: The child ended without them.
    """
    python, variables = home_python()
    command = tethered([python, "-m", "tuibench.worker.first_steps", str(model_dir)])
    child = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, env=variables)
    if child.returncode == _REFUSED:
        raise UnsupportedModelError(f"the reference cannot run it: {child.stdout.decode(errors='replace').strip()}")
    if child.returncode != 0:
        raise NoFirstStepsError(f"the reference ended with {child.returncode} when it was asked (negative: the signal)")


def _open(artifact: CachedArtifact) -> FirstSteps:
    with np.load(artifact.directory / _FILE, allow_pickle=False) as arrays:
        return FirstSteps(tuple(int(token_id) for token_id in arrays["token_ids"]), arrays["logits"])


def main() -> None:
    """Make them; a refusal goes to standard output, everything else to standard error."""
    from tuibench.engines.torch.eager import Baseline  # noqa: PLC0415 - PyTorch, in this process only

    import_lean()
    model_dir = Path(sys.argv[1])
    engine = Baseline()
    try:
        engine.load(model_dir, 1, lambda *_: None)
    except (UnsupportedModelError, ModelError) as error:
        sys.stdout.write(str(error))
        sys.exit(_REFUSED)
    keep_first_steps(model_dir, engine.first_steps)


if __name__ == "__main__":
    main()
