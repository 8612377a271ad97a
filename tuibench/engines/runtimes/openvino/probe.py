"""Whether it loads here: `python -m tuibench.engines.runtimes.openvino.probe` prints what it is."""

from __future__ import annotations

import sys
from importlib.metadata import version

import nncf  # noqa: F401 - what compresses the weights must be there, too
import openvino


def main() -> None:
    """Say so, and what its processor plug-in can compute with here."""
    core = openvino.Core()
    capabilities = " ".join(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    sys.stdout.write(f"openvino {openvino.__version__}, nncf {version('nncf')} ({capabilities})\n")


if __name__ == "__main__":
    main()
