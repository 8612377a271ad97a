"""What serving costs: a method measured directly, and behind `tuibench serve-model`, in turns within one run.

Usage: python -m tests.bench.served [METHOD] [MODEL]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.serving.serving import served
from tuibench.core.results.metrics import DECODE, TTFT
from tuibench.models.local import DEFAULT_MODEL
from tuibench.models.origin.sources import find_model
from tuibench.store.session import load
from tuibench.store.side_by_side import side_by_side


def main():
    method, name = (*sys.argv[1:], *("kv-cache", DEFAULT_MODEL)[len(sys.argv) - 1 :])
    model = find_model(name).name
    with tempfile.TemporaryDirectory() as folder, served(method, name) as server:
        command = [sys.executable, "-m", "tuibench", "run", "--model", name, "--methods", method, "--no-quality"]
        endpoint = ["--endpoint", server.url, "--endpoint-model", model, "--endpoint-key-env", "SERVED_KEY"]
        environment = {**os.environ, "SERVED_KEY": server.key}
        subprocess.run([*command, *endpoint, "--trials", "10", "--output", folder], env=environment, check=True)
        (path,) = Path(folder).glob("*.toml")
        comparison = side_by_side([(path, load(path))]).comparison
    direct, behind = comparison.row(0, method), comparison.row(0, "endpoint")
    for metric in (TTFT, DECODE):
        ours, theirs = direct.median(metric), behind.median(metric)
        print(f"{metric.short}: {ours:.4g} {metric.unit} directly, {theirs:.4g} served: {theirs / ours - 1:+.1%}")


if __name__ == "__main__":
    main()
