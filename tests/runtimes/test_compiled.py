"""A runtime that is compiled where it is to run: by pip, of a package whose build is scripted."""

from __future__ import annotations

import io
import platform
import tarfile
import zipfile

import pytest

import tuibench.cli.runtimes  # noqa: F401 - what it has of `environment` is real: it is imported before that is scripted
from tuibench.cli import main
from tuibench.engines.runtimes.llama_cpp import library
from tuibench.runtimes import catalogue, environment
from tuibench.runtimes.catalogue import RUNTIMES
from tuibench.runtimes.environment import find_environment, missing

NAME = "llama-cpp"
VERSION = RUNTIMES[NAME].packages[0].partition("==")[2]
METADATA = f"Metadata-Version: 2.1\nName: xllamacpp\nVersion: {VERSION}\n"
BACKEND = """\
import os, platform, zipfile

def build_wheel(folder, settings=None, metadata=None):
    if os.environ.get("SCRIPTED") == "fails":
        print("llama.cpp:7:1: error: unknown type name")
        raise SystemExit(1)
    name, tag = "xllamacpp-{version}", "py3-none-linux_" + platform.machine()
    with zipfile.ZipFile(os.path.join(folder, name + "-" + tag + ".whl"), "w") as wheel:
        wheel.writestr("xllamacpp/__init__.py", "ARGS = " + repr(os.environ["CMAKE_ARGS"]))
        wheel.writestr(name + ".dist-info/METADATA", {metadata!r})
        wheel.writestr(name + ".dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: " + tag + "\\n")
        wheel.writestr(name + ".dist-info/RECORD", "")
    return name + "-" + tag + ".whl"
"""


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder with the package, as a wheel and as its source; nothing else is needed, and nothing is loaded."""
    folder = tmp_path / "index"
    folder.mkdir()
    files = {
        "PKG-INFO": METADATA,
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.format(version=VERSION, metadata=METADATA),
    }
    with tarfile.open(folder / f"xllamacpp-{VERSION}.tar.gz", "w:gz") as source:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"xllamacpp-{VERSION}/{name}")
            entry.size = len(text)
            source.addfile(entry, io.BytesIO(text.encode()))
    tag = f"py3-none-manylinux_2_17_{platform.machine()}"
    with zipfile.ZipFile(folder / f"xllamacpp-{VERSION}-{tag}.whl", "w") as wheel:
        wheel.writestr("xllamacpp/__init__.py", "ARGS = None")
        wheel.writestr(f"xllamacpp-{VERSION}.dist-info/METADATA", METADATA)
        wheel.writestr(f"xllamacpp-{VERSION}.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        wheel.writestr(f"xllamacpp-{VERSION}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "_WORKER_NEEDS", ())
    monkeypatch.setattr(environment, "probe", lambda *_: "scripted")
    without = {"also": (), "name": NAME, "title": "llama.cpp", "packages": RUNTIMES[NAME].packages, "probe": ""}
    alone = catalogue.Runtime(**without, download_bytes=0, source=RUNTIMES[NAME].source)
    monkeypatch.setattr(environment, "RUNTIMES", {**RUNTIMES, NAME: alone})
    return folder


def what_was_built():
    (package,) = find_environment(NAME).directory.glob("lib/python*/site-packages/xllamacpp/__init__.py")
    return package.read_text()


def test_it_is_compiled_where_a_wheel_would_do_and_says_so(index, monkeypatch, capsys):
    del index
    assert main(["runtimes", "add", NAME]) == 0
    assert what_was_built() == "ARGS = None"
    monkeypatch.setenv("CMAKE_ARGS", "-DMINE=ON")
    assert main(["runtimes", "add", NAME, "--build"]) == 0
    assert "compiled on this machine" in capsys.readouterr().err.splitlines()[-1]
    assert "-DGGML_NATIVE=ON" in what_was_built()
    assert what_was_built().endswith("-DMINE=ON'")
    assert find_environment(NAME).compiled
    assert missing(NAME) is None
    assert main(["runtimes", "add", NAME]) == 0  # which takes what is there
    assert "was installed already, compiled on this machine" in capsys.readouterr().err


def test_what_was_compiled_before_is_compiled_anew(index, monkeypatch, tmp_path):
    """pip keeps what it compiled, and takes it again, though it was for another processor or of other options."""
    del index
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))
    for options in ("-DONE=ON", "-DANOTHER=ON"):
        monkeypatch.setenv("CMAKE_ARGS", options)
        assert main(["runtimes", "add", NAME, "--build"]) == 0
        assert what_was_built().endswith(f"{options}'")
        assert main(["runtimes", "rm", NAME]) == 0


def test_what_the_compiler_says_is_the_reason(index, monkeypatch, capsys):
    del index
    monkeypatch.setenv("SCRIPTED", "fails")
    assert main(["runtimes", "add", NAME, "--build"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        "tuibench: it cannot be compiled: llama.cpp:7:1: error: unknown type name; without --build it comes compiled"
    )
    assert find_environment(NAME) is None


def test_without_its_tools_one_line_says_what_to_install(index, monkeypatch, capsys, tmp_path):
    del index
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert main(["runtimes", "add", NAME, "--build"]) == 1
    said = capsys.readouterr().err
    assert "cannot be compiled here: cmake and a C++ compiler and make missing; on Debian and Ubuntu, `apt-get" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "genai", "--build"], "onnxruntime-genai comes compiled only; --build is for: llama-cpp"),
        (["check", "--build"], "--build belongs to `tuibench runtimes add`"),
    ],
)
def test_bad_usage(words, said, capsys):
    assert main(["runtimes", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tag", "here"), [("cp310-abi3-linux_x86_64", True), ("cp310-abi3-manylinux_2_28_x86_64", False)]
)
def test_a_row_tells_a_compiled_library_from_a_wheel_of_an_index(tag, here, monkeypatch):
    text = f"Wheel-Version: 1.0\nGenerator: x\nTag: {tag}\n"
    monkeypatch.setattr(library, "distribution", lambda _: type("Wheel", (), {"read_text": lambda *_: text})())
    assert library.load_library().version.endswith(", compiled on this machine") is here
