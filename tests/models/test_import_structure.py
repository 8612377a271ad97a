"""What is kept of transformers' look at its own files: the same, and left aside at the slightest doubt."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuibench.models import import_structure

PROGRAM = """
import sys
from tuibench.models.lean_transformers import import_lean
import_lean()
read = []
sys.addaudithook(lambda event, arguments: read.append(str(arguments[0])) if event == "open" else None)
import transformers.models
n_read = sum("/transformers/models/" in path and path.endswith(".py") for path in read)
print(n_read, "llama" in dir(transformers.models))
"""


def sources_read(cache):
    """Return how many sources of models were read for one configuration; compiled ones are not among them."""
    environment = os.environ | {"TUIBENCH_CACHE": str(cache)}
    told = subprocess.check_output([sys.executable, "-c", PROGRAM], env=environment, text=True).split()
    assert told[1] == "True"
    return int(told[0])


def test_sources_are_read_once_for_all_starts(tmp_path):
    assert sources_read(tmp_path) > 1000
    (file,) = (tmp_path / "transformers").iterdir()
    assert sources_read(tmp_path) < 50
    file.write_text("[[1, 2]]")  # not what was kept
    assert sources_read(tmp_path) > 1000


def test_what_is_kept_is_what_transformers_finds():
    """`import_structure`: `create_import_structure_from_path`, of sets of names under sets of backends and folders."""
    import transformers
    from transformers.utils.import_utils import create_import_structure_from_path

    found = create_import_structure_from_path(Path(transformers.__file__).parent / "models")
    kept = import_structure.from_json(json.loads(json.dumps(import_structure.to_json(found))))
    assert kept == found
    assert list(kept) == list(found)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[[1, 2]]", '[["llama", [[["torch"], 5]]]]', "[[["])
def test_a_file_that_holds_something_else_is_as_good_as_none(tmp_path, text):
    (tmp_path / "kept.json").write_text(text)
    assert import_structure._load(tmp_path / "kept.json") is None


def test_an_installation_from_a_folder_is_looked_at_anew(monkeypatch):
    class Editable:
        version = "5.24.0"

        def locate_file(self, _path):
            return Path(__file__)

        def read_text(self, _name):
            return '{"dir_info": {"editable": true}, "url": "file:///src"}'

    monkeypatch.setattr(import_structure, "distribution", lambda _: Editable())
    assert import_structure._installation() is None
