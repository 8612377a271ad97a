"""Which runtimes can be had, in the versions that they were tested in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
class Source:
    """How a runtime is compiled where it is to run, for all instructions of that CPU."""

    package: str
    """The one that is not taken as a wheel; pip has it compiled."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the environment that it is compiled in."""


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
    source: Source | None = None
    """None where it comes compiled only."""

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
        source=Source(
            package="xllamacpp",
            # Grammars want Rust and TLS fetches BoringSSL: parts of a server, which no measurement asks.
            variables={"CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAMA_LLGUIDANCE=OFF -DLLAMA_BUILD_BORINGSSL=OFF"},
        ),
    ),
    "genai": Runtime(
        name="genai",
        title="onnxruntime-genai",
        packages=("onnxruntime-genai==0.18.0",),
        also=("onnxruntime",),
        probe="tuibench.engines.runtimes.genai.probe",
        download_bytes=60_000_000,
    ),
    "openvino": Runtime(
        name="openvino",
        title="OpenVINO",
        packages=(
            "openvino==2026.4.1",
            "openvino-telemetry==2025.2.0",
            # Compresses the weights; the rest is what importing it takes.
            "nncf==3.4.0",
            "networkx==3.6.1",
            "packaging==26.4",
            "pydot==4.0.1",
            "rich==15.0.0",
            "safetensors==0.8.0",
            "scipy==1.17.1",
            "tabulate==0.10.0",
        ),
        probe="tuibench.engines.runtimes.openvino.probe",
        download_bytes=150_000_000,
    ),
    "ctranslate2": Runtime(
        name="ctranslate2",
        title="CTranslate2",
        packages=("ctranslate2==4.8.5",),
        also=("pyyaml",),
        probe="tuibench.engines.runtimes.ctranslate2.probe",
        download_bytes=65_000_000,
    ),
}
