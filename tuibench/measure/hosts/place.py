"""On a prepared host: `python -m tuibench.measure.hosts.place find NAME DIGEST` or `… keep NAME SOURCE FOLDER`.

Answers with one JSON object.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from tuibench import paths
from tuibench.measure.hosts.find import RefusedError, model_with
from tuibench.models.cache import Origin, find_cached, open_staging, place, pull_lock


def keep(name: str, source: str, folder: Path) -> str:
    """Move a model's files from a folder into the cache; return its digest there.

    Raises:
        ModelError: They are not a usable model.
    """
    with pull_lock(name, lambda: None):
        staging = open_staging(name)
        for path in folder.iterdir():
            path.replace(staging.model / path.name)
        model = place(name, staging, Origin(source=source))
    shutil.rmtree(folder)
    return model.digest


def main() -> None:
    """Answer."""
    match sys.argv[1:]:
        case ["find", name, digest]:
            try:
                found = model_with(name, digest)
            except RefusedError as error:
                answer = {"missing": str(error), "taken": find_cached(name) is not None}
            else:
                answer = {"found": str(found.directory.absolute())}
        case ["keep", name, source, folder]:
            answer = {"digest": keep(name, source, paths.cache_dir() / folder)}
        case _:
            sys.exit("find NAME DIGEST, or keep NAME SOURCE FOLDER")
    print(json.dumps(answer))  # noqa: T201 - read by who asked


if __name__ == "__main__":
    main()
