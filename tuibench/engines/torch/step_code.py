"""The machine code of a model's decoding step, made once: `python -m tuibench.engines.torch.step_code MODEL_DIR`.

A process of its own compiles, so that what a C++ compiler takes of time and memory is preparation, and what loads
afterwards only reads. PyTorch's compiler finds its files again under the same path alone: they are no artifact, which
is moved into place. Weights are inputs of the code, so that models of one shape share it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tuibench import paths
from tuibench.engines.base import Progress, UnsupportedModelError
from tuibench.machine.cpu import instruction_sets
from tuibench.models.tether import tethered

_DIGITS = 16
_COMPLETE = "complete"
_REFUSED = 3
"""Exit code for a model whose step cannot be compiled; the reason is on standard output."""


def prepare_code(model_dir: Path, progress: Progress) -> bool:
    """Have the code compiled unless it is there, and return whether it had to be; blocks.

    Raises:
        UnsupportedModelError: There is no C++ compiler, or PyTorch cannot compile this model.
    """
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None:
        raise UnsupportedModelError(
            f"torch.compile needs a C++ compiler; there is no {compiler} here; install it (Debian: apt install g++)"
        )
    folder = code_folder(model_dir)
    if (folder / _COMPLETE).exists():
        return False
    progress("compiling the decoding step", 0, None)
    folder.mkdir(parents=True, exist_ok=True)
    command = tethered([sys.executable, "-m", "tuibench.engines.torch.step_code", str(model_dir)])
    child = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    if child.returncode == _REFUSED:
        raise UnsupportedModelError(child.stdout.decode(errors="replace").strip())
    if child.returncode != 0:
        raise UnsupportedModelError(
            f"compiling the decoding step ended with {child.returncode} (negative: the signal); the log has the rest"
        )
    (folder / _COMPLETE).touch()
    return True


def code_folder(model_dir: Path) -> Path:
    """Return where the code of a model's shape lies, for this processor and these versions."""
    versions = [version(library) for library in ("torch", "transformers")]
    digest = hashlib.sha256(repr((versions, instruction_sets(), os.environ.get("CXX"))).encode())
    digest.update((model_dir / "config.json").read_bytes())
    return paths.cache_dir() / "inductor" / digest.hexdigest()[:_DIGITS]


def use_code(model_dir: Path) -> None:
    """Have PyTorch's compiler keep its files with this model's code, and make code for any number of threads."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(code_folder(model_dir))
    import torch._dynamo  # noqa: F401 - before transformers, which workers import without it
    from torch._inductor import config

    config.cpp.dynamic_threads = True
    config.compile_threads = 1  # no pool of compiling processes beside what is measured


def main() -> None:
    """Compile; a refusal goes to standard output, everything else to standard error."""
    from tuibench.engines.torch.compiled import KvCacheCompiled

    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        KvCacheCompiled().load(Path(sys.argv[1]), len(os.sched_getaffinity(0)), lambda *_: None)
    except UnsupportedModelError as error:
        os.write(answers, str(error).encode())
        sys.exit(_REFUSED)


if __name__ == "__main__":
    main()
