"""The same answer, by a search and by measuring everything with five trials: how long each takes.

    python -m tests.bench.time_to_pick MODEL [METHODS]     # on a quiet machine, with everything prepared

In turns, the search first; both on 32 tokens, with the default limit on divergence.
"""

import json
import subprocess
import sys
import tempfile
import time


def seconds_of(*arguments):
    """Return how long a command took, and what it printed."""
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tuibench", *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    return time.monotonic() - began_s, done.stdout


def main(model, methods="ladder"):
    with tempfile.TemporaryDirectory() as folder:
        common = (
            "--model",
            model,
            "--methods",
            methods,
            "--max-new-tokens",
            "32",
            "--output",
            folder,
            "--format",
            "json",
        )
        for _ in range(2):
            search_s, answer = seconds_of("pick", *common)
            everything_s, result = seconds_of("run", *common, "--trials", "5")
            told = json.loads(answer)
            print(f"search      {search_s:6.0f} s: {told['method']}, certain: {told['certain']}")
            print(f"everything  {everything_s:6.0f} s: {json.loads(result)['runs'][0]['recommendation']['fastest']}")
            print(f"            {everything_s / search_s:6.2f} times as long", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
