"""All checks of the project, one after the other: `python -m tests [pytest arguments]`."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
N_AT_ONCE = min(8, len(os.sched_getaffinity(0)) + 1)
"""Files of tests that run at a time: many tests wait for what another process does."""
COMPILE = """
from tuibench.engines.fused.compile_ahead import compile_ahead
for precision in ("fp32", "int8", "int4"):
    compile_ahead(precision)
"""
"""Once, on all cores: else every process that runs tests compiles the same kernels at the same time."""
SCRIPTS = Path(sysconfig.get_path("scripts"))


def checks(pytest_arguments: list[str]) -> dict[str, list[str]]:
    """Return the checks by name, cheapest first."""
    return {
        "lint": [str(SCRIPTS / "ruff"), "check"],
        "format": [str(SCRIPTS / "ruff"), "format", "--check"],
        "import contracts": [str(SCRIPTS / "lint-imports")],
        "types": [sys.executable, "-m", "mypy"],
        "kernels": [sys.executable, "-c", COMPILE],
        "tests": [sys.executable, "-m", "pytest", f"--numprocesses={N_AT_ONCE}", "--dist=loadfile", *pytest_arguments],
    }


def main() -> int:
    """Run every check, also after one has failed; return 1 if one has."""
    failed = []
    for name, command in checks(sys.argv[1:]).items():
        print(f"── {name}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failed.append(name)
    print(f"── failed: {', '.join(failed)}" if failed else "── all checks passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
