"""Whether it loads here: `python -m tuibench.engines.runtimes.genai.probe` prints what it is."""

from __future__ import annotations

import sys
from importlib.metadata import version

import onnxruntime_genai  # noqa: F401 - whether it loads is the question


def main() -> None:
    """Say so."""
    sys.stdout.write(f"onnxruntime-genai {version('onnxruntime-genai')}, onnxruntime {version('onnxruntime')}\n")


if __name__ == "__main__":
    main()
