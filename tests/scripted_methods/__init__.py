"""Provides scripted methods to a real `tuibench`, as a third party's package would."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def install(folder: Path, package: str, methods: Mapping[str, str]) -> None:
    """Write what tells of an installed package that it offers methods: entry points by method id."""
    info = folder / f"{package}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1\n")
    lines = [f"{method} = {what}\n" for method, what in methods.items()]
    (info / "entry_points.txt").write_text("".join(["[tuibench.methods]\n", *lines]))


def provide(folder: Path, **more: str) -> dict[str, str]:
    """Make what an installed package leaves behind, and return the environment in which its methods are found.

    Args:
        folder: Where it is installed.
        more: Further entry points, by name with `_` for `-`.
    """
    points = {"sound": "scripted_engine:Sound", "faulty": "scripted_engine:Faulty"} | more
    install(folder, "scripted_engine", {name.replace("_", "-"): what for name, what in points.items()})
    found = [str(folder), str(Path(__file__).parent), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, found))}


def save_toy_model(folder: Path) -> Path:
    """Write the smallest folder that passes for a model: four words and one tensor."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    folder.mkdir(parents=True)
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "a": 1, "b": 2, "c": 3}, unk_token="[UNK]"))  # noqa: S106 - a word, no password
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"architectures": ["ToyForCausalLM"]}))
    top = json.dumps({"a": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}}).encode()
    (folder / "model.safetensors").write_bytes(len(top).to_bytes(8, "little") + top + bytes(40))
    return folder
