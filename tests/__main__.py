"""All checks of the project: `python -m tests [pytest arguments]`."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
N_AT_ONCE = min(8, len(os.sched_getaffinity(0)) + 2)
"""Files of tests that run at a time: many tests wait for what another process does."""
PYTEST = [
    *(sys.executable, "-m", "pytest", f"--numprocesses={N_AT_ONCE}"),
    *("--dist=loadfile", "--no-loadscope-reorder"),  # in the order of tests/conftest.py: what takes long begins first
]
COMPILE = """
from tuibench.engines.fused.machine_code import compile_missing, parts_of
each = (parts_of(precision, varied=varied) for precision in ("fp32", "int8", "int4") for varied in (True, False))
compile_missing(sorted({part for parts in each for part in parts}))
"""
"""Once, on all cores: else every process that runs tests compiles the same kernels at the same time."""
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Tests start hundreds of processes, which would each compile our modules anew."""
_SILENT = ("-p", "no:terminal", "-o", "addopts=--import-mode=importlib")
SCRIPTS = Path(sysconfig.get_path("scripts"))


def checks() -> dict[str, list[str]]:
    """Return what can be done at the same time, by name: none of it uses all cores all the time."""
    return {
        "lint": [str(SCRIPTS / "ruff"), "check"],
        "format": [str(SCRIPTS / "ruff"), "format", "--check"],
        "import contracts": [str(SCRIPTS / "lint-imports")],
        "types": [sys.executable, "-m", "mypy"],
        "kernels": [sys.executable, "-c", COMPILE],
        # Compiles what tests import, once: else all of their processes do so at the same time.
        "collection": [sys.executable, "-m", "pytest", "--collect-only", *_SILENT],
    }


def main() -> int:
    """Run every check, also after one has failed, and the tests after all others; return 1 if one has failed."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    running = {
        name: subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, text=True, **pipes)
        for name, command in checks().items()
    }
    failed = []
    for name, check in running.items():
        output, _ = check.communicate()
        print(f"── {name}", output, sep="\n", end="", flush=True)
        if check.returncode != 0:
            failed.append(name)
    print("── tests", flush=True)
    if subprocess.run([*PYTEST, *sys.argv[1:]], cwd=ROOT, env=ENVIRONMENT, check=False).returncode != 0:
        failed.append("tests")
    print(f"── failed: {', '.join(failed)}" if failed else "── all checks passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
