"""The files of a folder: scripts, text side, weights."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from tuibench import paths
from tuibench.deploy.methods import Scripts
from tuibench.models.text.tokenizer import PromptTokenizer

_LICENCES = re.compile(r"(licen[cs]e|copying|notice)([._-].*)?", re.IGNORECASE)
_GENERATION = re.compile(r"(\{%[-+]?\s*)(end)?generation(\s*[-+]?%\})")
"""A bracket around what an assistant said, for training; plain Jinja does not know it."""
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})


def write_scripts(folder: Path, scripts: Scripts) -> None:
    """Copy the scripts of a method."""
    templates = resources.files("tuibench.deploy") / "templates"
    for name, template in (("generate.py", "generate.py"), *scripts.templates):
        (folder / name).write_bytes((templates / template).read_bytes())
    for module in scripts.modules:
        package, _, name = module.rpartition(".")
        (folder / f"{name}.py").write_bytes((resources.files(package) / f"{name}.py").read_bytes())


def write_text_side(
    folder: Path, tokenizer: PromptTokenizer, n_threads: int, context_window: int | None, more: Mapping[str, object]
) -> None:
    """Write the tokenizer, the chat template and the settings.

    Args:
        folder: Where.
        tokenizer: The model's.
        n_threads: What the script takes unless it is told otherwise.
        context_window: None where there is no limit.
        more: What the method's own script reads of the settings.
    """
    tokenizer.save(folder / "tokenizer.json")
    template = tokenizer.template
    if template is not None:
        source = _GENERATION.sub(_as_condition, template.source)
        (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
    settings = {
        "context_window": context_window,
        "eos_ids": sorted(tokenizer.eos_ids),
        "special_tokens": tokenizer.special_tokens,
        "content_in_parts": template is not None and template.wants_parts,
        "threads": n_threads,
        **more,
    }
    write_json(folder / "settings.json", settings)


def write_json(path: Path, table: Mapping[str, object]) -> None:
    """Write a table for a script, or for transformers, to read."""
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _as_condition(tag: re.Match[str]) -> str:
    return f"{tag[1]}{'endif' if tag[2] else 'if true'}{tag[3]}"


def place(source: Path, folder: Path) -> None:
    """Put a file into a folder: another name for one of our cache where the disk allows it, else a copy.

    A file of the user's own is always copied: whoever saves the model anew would change the folder.
    """
    whole = source.resolve()
    if whole.is_relative_to(paths.cache_dir().resolve()):
        try:
            os.link(whole, folder / source.name)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return
    shutil.copyfile(whole, folder / source.name)


def licence_files(model_dir: Path) -> Iterator[Path]:
    """Yield the files of a model in which its licence is."""
    yield from sorted(path for path in model_dir.iterdir() if path.is_file() and _LICENCES.fullmatch(path.name))


def licence_name(model_dir: Path) -> str | None:
    """Return what the model's own card calls its licence: its README begins with a few lines of YAML on the hub."""
    try:
        card = (model_dir / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    head = re.match(r"---\n(.*?)\n---", card, re.DOTALL)
    named = re.search(r"^license:\s*(\S[^\n]*)$", head[1], re.MULTILINE) if head else None
    return named[1].strip("'\" ") if named else None
