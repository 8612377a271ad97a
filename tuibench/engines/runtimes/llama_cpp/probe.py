"""Whether the library loads here: `python -m tuibench.engines.runtimes.llama_cpp.probe` prints what it is."""

from __future__ import annotations

import sys

import gguf  # noqa: F401 - what writes the files must be there, too

from tuibench.engines.runtimes.llama_cpp.library import load_library


def main() -> None:
    """Load it."""
    library = load_library()
    sys.stdout.write(f"{library.version} ({library.instruction_sets})\n")


if __name__ == "__main__":
    main()
