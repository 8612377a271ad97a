"""A pull from a source that is a folder: `fake_pull.py CACHE_NAME FOLDER PAUSE_AT`.

Writes a line when the source is asked, and one with the model's digest at the end. With PAUSE_AT `half`, it stops with
half of the weights written, until it is killed.
"""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

from tuibench.models.cache import Origin
from tuibench.models.origin.pull import pull_from


class FolderSource:
    title = "a folder"

    def __init__(self, folder, pause_at=""):
        self.folder = Path(folder)
        self.pause_at = pause_at

    def fetch(self, staging, _on_progress):
        print("asked", flush=True)
        if self.pause_at == "half":
            weights = (self.folder / "model.safetensors").read_bytes()
            (staging.model / "model.safetensors").write_bytes(weights[: len(weights) // 2])
            (staging.downloads / "kept").write_text("x")
            print("half", flush=True)
            signal.pause()
        shutil.copytree(self.folder, staging.model, dirs_exist_ok=True)
        return Origin(source="owner/fake")


if __name__ == "__main__":
    name, folder, pause_at = sys.argv[1:]
    print(pull_from(name, [FolderSource(folder, pause_at)], lambda _: None).digest, flush=True)
