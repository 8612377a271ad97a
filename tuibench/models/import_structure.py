"""What transformers finds in all of its 3,300 source files whenever it is imported, read once and kept.

`import transformers` reads every model's source to learn which names lie where: about a second of each start. The
answer depends on nothing but the installed files. It is kept per installation, told by the stamp of pip's own list of
files, which every install writes anew; where there is no such list (a checkout), where anything cannot be read or is
not as expected, transformers looks for itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType
from typing import Any

from tuibench import paths

_READS = "create_import_structure_from_path"
_DIGITS = 16
Structure = dict[Any, Any]
"""As transformers has it: backends → module → names, and folder → the same again."""


def keep_structure(module: ModuleType) -> None:
    """Have `transformers.utils.import_utils`, just imported, use what was kept, and keep it if nothing was."""
    reads, stamp = getattr(module, _READS, None), _installation()
    if reads is not None and stamp is not None and module.__file__:
        models = Path(module.__file__).parents[1] / "models"
        setattr(module, _READS, _kept(reads, models, paths.cache_dir() / "transformers" / f"{stamp}.json"))


def _installation() -> str | None:
    """Return a digest that another installed version or a repaired one would not have; None: who knows."""
    try:
        found = distribution("transformers")
        record = Path(str(found.locate_file(f"transformers-{found.version}.dist-info/RECORD")))
        status = record.stat()
    except (PackageNotFoundError, OSError):
        return None
    if found.read_text("direct_url.json") is not None:
        return None  # from a folder, whose files may be edited
    told = repr((found.version, str(record), status.st_size, status.st_mtime_ns, status.st_ino))
    return hashlib.sha256(told.encode()).hexdigest()[:_DIGITS]


def _kept(reads: Callable[[str | Path], Structure], models: Path, file: Path) -> Callable[[str | Path], Structure]:
    """Return a function that reads a folder's structure, that of all models from a file if it can."""

    def read(module_path: str | Path) -> Structure:
        path = Path(module_path)
        if path not in (models, models / "__init__.py"):
            return reads(module_path)
        kept = _load(file)
        if kept is None:
            kept = reads(module_path)
            _save(kept, file)
        return kept

    return read


def to_json(structure: Structure) -> list[Any]:
    """Return a structure as JSON can hold it; `from_json` gives it back, in the same order."""
    return [
        [key, to_json(value)]
        if isinstance(key, str)
        else [sorted(key), {name: sorted(names) for name, names in value.items()}]
        for key, value in structure.items()
    ]


def from_json(pairs: list[Any]) -> Structure:
    """Raises ValueError, TypeError or AttributeError where it is no such structure."""
    return {
        (key if isinstance(key, str) else frozenset(key)): (
            from_json(value) if isinstance(key, str) else {name: set(names) for name, names in value.items()}
        )
        for key, value in pairs
    }


def _load(file: Path) -> Structure | None:
    try:
        return from_json(json.loads(file.read_bytes())) or None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _save(structure: Structure, file: Path) -> None:
    try:
        text = json.dumps(to_json(structure))
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except (OSError, ValueError, TypeError, AttributeError):
        return  # not kept: read again next time
