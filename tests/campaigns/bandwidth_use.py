"""Whether a method ever reads memory faster than the machine can: the share of the read bandwidth (MBU), run after run.

    python -m tests.campaigns.bandwidth_use --runs 50 MODEL              # about 15 s a run

On a quiet machine; one trial of each method a run, as users make them: where memory seems to be read faster than the
probe says, the run measures that again.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.campaigns.planted import ROOT, session_of
from tuibench.core.results.comparison import compare
from tuibench.store.export.facts import measured_run
from tuibench.store.session import load

METHODS = ("fused-int8", "fused-fp32")


def shares(path: Path) -> dict[str, float]:
    """Return the MBU of each method of a session."""
    comparison = compare([measured_run(load(path))], parents={})
    found = {method: comparison.row(0, method).roofline for method in METHODS}
    return {method: roof.mbu for method, roof in found.items() if roof is not None}


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or hub id")
    parser.add_argument("--runs", type=int, default=50)
    options = parser.parse_args()
    seen: dict[str, list[float]] = {method: [] for method in METHODS}
    arguments = ["--model", options.model, "--methods", ",".join(METHODS), "--trials", "1", "--max-new-tokens", "64"]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.runs):
            path, wall_s = session_of(ROOT, Path(folder), *arguments)
            found = shares(path)
            told = ", ".join(f"{method} {share:.1%}" for method, share in found.items())
            print(f"{told}; {wall_s:.0f} s", file=sys.stderr, flush=True)
            for method, share in found.items():
                seen[method].append(share)
    print("| method | runs | MBU, median | largest | above 100 % |\n| --- | --: | --: | --: | --: |")
    for method, values in seen.items():
        n_above = sum(share > 1 for share in values)
        print(f"| `{method}` | {len(values)} | {median(values):.1%} | {max(values):.1%} | {n_above} |")


if __name__ == "__main__":
    main()
