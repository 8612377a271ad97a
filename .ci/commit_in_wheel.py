"""Tells the wheel which commit it is built from: `tuibench._commit`, which `tuibench doctor` and every session name."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface[Any]):
    """Adds the commit to what is built from a checkout; without git, or from an archive, nothing is added."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the commit to a file outside the tree, and have it packed."""
        if version == "editable" or not (Path(self.root) / ".git").exists():
            return
        command = ["git", "-C", self.root, "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "_commit"
        path.write_text(done.stdout, encoding="ascii")
        build_data["force_include"][str(path)] = "tuibench/_commit"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - the hook's
        """Remove the file."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
