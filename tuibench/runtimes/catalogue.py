"""Which runtimes can be had, in the versions that they were tested in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

_WORKER_NEEDS = (
    "filelock",
    "jinja2",
    "markupsafe",
    "ml-dtypes",
    "msgspec",
    "numpy",
    "platformdirs",
    "psutil",
    "tokenizers",
    "typing-extensions",
)
"""What our worker imports, and nothing that only comes with it: in the versions that are installed here, for both ends
of its pipe speak the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One runtime."""

    name: str
    title: str
    packages: tuple[str, ...]
    """Exact versions."""
    also: tuple[str, ...] = ()
    """What its engine imports besides; in the versions that are installed here."""
    probe: str
    """Module that, run in its environment, prints what is there or fails."""
    download_bytes: int
    """About."""

    @property
    def requirements(self) -> tuple[str, ...]:
        """All that is installed, as pip takes it."""
        return (*self.packages, *(f"{name}=={version(name)}" for name in (*_WORKER_NEEDS, *self.also)))


RUNTIMES: Mapping[str, Runtime] = {
    "llama-cpp": Runtime(
        name="llama-cpp",
        title="llama.cpp",
        packages=("xllamacpp==2026.10.11549",),
        also=("gguf", "pyyaml"),
        probe="tuibench.engines.runtimes.llama_cpp.probe",
        download_bytes=70_000_000,
    ),
}
