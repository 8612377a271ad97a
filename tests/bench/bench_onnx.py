"""The ONNX methods beside their peers, trial by trial in turn: `python -m tests.bench.bench_onnx MODEL_DIR`.

`--genai-python` names an interpreter of a virtual environment with onnxruntime-genai; `--genai LABEL=FOLDER` a model
that its builder wrote. Without them only our own methods run, and ONNX Runtime's plain `quantize_dynamic` of the
exported graph and of our fused one (`--quantised` keeps these two for the next time).
MBU is the share of the read bandwidth, measured at the end, that the bytes of a token come to.
Ratios of medians are what to compare; absolute times follow the machine's load, which is printed with them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.onnx_contender import PROMPT
from tuibench.engines.decoder.read import read_decoder
from tuibench.machine.bandwidth import read_bandwidth

CONTENDER = "tests.bench.onnx_contender"
OURS = ("kv-cache", "int8-torch", "onnx", "onnx-fused", "int8-dynamic", "int8-static", "int4-onnx")
PAIRS = (
    ("onnx-fused", "genai-fp32", 1.25),
    ("int8-dynamic", "quantised-export", 1.1),
    ("int8-static", "quantised-export", 1.1),
    ("int8-dynamic", "quantised-fused", 1.1),
    ("int8-static", "quantised-fused", 1.1),
    ("int4-onnx", "genai-int4", 1.1),
    ("onnx-fused", "kv-cache", 2.0),
    ("int8-dynamic", "kv-cache", 2.0),
    ("int8-static", "kv-cache", 2.0),
    ("kv-cache", "baseline", 2.0),
)


def plain_quantised(method, model_dir, target):
    """Quantise a method's FP32 graph as ONNX Runtime's own documentation does, unless that has been done."""
    if (target / "model.onnx").exists():
        return
    target.mkdir(parents=True, exist_ok=True)
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from tuibench.engines.ort.prepared import prepared_artifact
    from tuibench.engines.ort.recipes import OPTIONS

    exact, _ = prepared_artifact(method, OPTIONS[method], model_dir, lambda *_: None)
    quantize_dynamic(
        exact.directory / "model.onnx",
        target / "model.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
        extra_options={"DefaultTensorType": 1},  # float: its shape inference does not know fused operators
    )


class Contender:
    def __init__(self, python, kind, model_dir, n_threads):
        command = [python, "-m", CONTENDER, kind, str(model_dir), str(n_threads)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        while not (line := self._child.stdout.readline()).startswith("ready "):
            if not line:
                raise SystemExit(f"{kind} did not start")
        self.weight_bytes = int(line.split()[1])
        self.trials = []

    def run(self, n_tokens):
        self._child.stdin.write(f"{n_tokens}\n")
        self._child.stdin.flush()
        self.trials.append(json.loads(self._child.stdout.readline()))

    def median(self, key):
        return statistics.median(trial[key] for trial in self.trials)

    def close(self):
        self._child.stdin.close()
        self._child.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--methods", default=",".join(OURS))
    parser.add_argument("--genai-python")
    parser.add_argument("--genai", action="append", default=[], metavar="LABEL=FOLDER")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quantised", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    print("load average before", os.getloadavg())
    with tempfile.TemporaryDirectory() as scratch:
        quantised = asked.quantised or Path(scratch)
        plain_quantised("onnx", asked.model_dir, quantised / "export")
        plain_quantised("onnx-fused", asked.model_dir, quantised / "fused")
        kinds = {name: (sys.executable, f"method:{name}") for name in asked.methods.split(",")}
        kinds["quantised-export"] = (sys.executable, f"export:{quantised / 'export'}")
        kinds["quantised-fused"] = (sys.executable, f"graph:{quantised / 'fused'}")
        for entry in asked.genai:
            label, _, folder = entry.partition("=")
            kinds[label] = (asked.genai_python, f"genai:{folder}")
        contenders = {
            label: Contender(python, kind, asked.model_dir, asked.threads) for label, (python, kind) in kinds.items()
        }
        for _ in range(asked.trials):
            for contender in contenders.values():
                contender.run(asked.tokens)
        for contender in contenders.values():
            contender.close()
    bandwidth = asyncio.run(read_bandwidth(asked.threads, again=True))
    print("load average after", os.getloadavg())
    print(
        f"read bandwidth {bandwidth / 1e9:.1f} GB/s; a token reads the weights and the cache, which grows to", end=" "
    )
    kv_bytes = read_decoder(asked.model_dir).kv_cache().at(len(PROMPT) + asked.tokens // 2)
    print(f"{kv_bytes / 1e6:.1f} MB by half of the generation")
    print(
        f"{'':18} {'TPOT ms':>8} {'tok/s':>7} {'p50 gap':>8} {'TTFT ms':>8} {'peak MB':>8} {'MB/token':>8} {'MBU':>5}"
    )
    for label, found in contenders.items():
        tpot, gap, ttft = (found.median(key) * 1000 for key in ("tpot", "median", "ttft"))
        read = found.weight_bytes + kv_bytes
        print(
            f"{label:18} {tpot:8.2f} {1000 / tpot:7.1f} {gap:8.2f} {ttft:8.1f} {found.median('peak_mb'):8.0f}"
            f" {read / 1e6:8.1f} {read / (tpot / 1000) / bandwidth:5.0%}"
        )
    for ours, peer, wanted in PAIRS:
        if ours in contenders and peer in contenders:
            by_trial = zip(contenders[peer].trials, contenders[ours].trials, strict=True)
            ratio = statistics.median(theirs["tpot"] / mine["tpot"] for theirs, mine in by_trial)
            print(f"{ours} is {ratio:.2f} × {peer} (wanted {wanted})")


if __name__ == "__main__":
    main()
