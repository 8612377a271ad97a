"""A method's files: from the cache, or made in a child process first."""

from __future__ import annotations

from pathlib import Path

from tuibench.engines.base import Progress
from tuibench.engines.decoder.fits import check_fits
from tuibench.engines.ort.build import build_in_child
from tuibench.engines.ort.recipes import OPTIONS, Options, recipe_for
from tuibench.models.artifacts import ArtifactError, CachedArtifact, discard_abandoned, find_artifact


def cached_artifact(method: str, model_dir: Path) -> CachedArtifact | None:
    """Return a method's files if they are there; they are not read through."""
    return find_artifact(recipe_for(method, OPTIONS[method], model_dir), verify=False)


def prepared_artifact(
    method: str, options: Options, model_dir: Path, progress: Progress
) -> tuple[CachedArtifact, bool]:
    """Return a method's files, and whether they had to be made."""
    progress("looking into the cache", 0, None)
    discard_abandoned()
    recipe = recipe_for(method, options, model_dir)
    found = find_artifact(recipe)
    if found is not None:
        return found, False
    check_fits(method, model_dir, preparing=True)
    build_in_child(method, options, model_dir, progress)
    made = find_artifact(recipe, verify=False)
    if made is None:
        raise ArtifactError(
            f"the files of {method} are gone right after they were made; is another process removing them?"
        )
    return made, True
