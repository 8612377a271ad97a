"""Whether it loads here: `python -m tuibench.engines.runtimes.ctranslate2.probe` prints what it is."""

from __future__ import annotations

import sys

import ctranslate2


def main() -> None:
    """Say so, and what it can compute with here."""
    types = ", ".join(sorted(ctranslate2.get_supported_compute_types("cpu")))
    sys.stdout.write(f"ctranslate2 {ctranslate2.__version__} ({types})\n")


if __name__ == "__main__":
    main()
