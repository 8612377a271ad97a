"""All of others' runtimes, installed from the package index and run on tiny models, by hand: minutes, 400 MB.

    python -m tests.campaigns.runtimes

Each method must predict what the reference does as closely as its weights allow. On the second model, a Llama with
YaRN, a runtime either computes the scaling or has no row.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.engines.runtimes.peers import YARN, changed_llama
from tests.tiny_models import SPECIAL_TOKENS, save_llama, train_byte_level_bpe
from tuibench.cli import main as tuibench
from tuibench.methods import available_methods, resolve_methods
from tuibench.runtimes.catalogue import RUNTIMES
from tuibench.store.session import load

MOST_KLD = {"fp32": 1e-4, "fp16": 1e-4, "int8": 0.01, "int4": 0.3}
"""By precision; tiny layers have few weights a scale."""
OTHERWISE = {"ctranslate2-int8": 0.2}
"""oneDNN, which CTranslate2 takes on CPUs that are not Intel's, multiplies INT8 far less exactly than MKL: 0.05."""


def measured(model_dir: Path, out: Path) -> dict[str, str]:
    """Return what came of each peer: its divergence, or why it has no row."""
    words = ["--model", str(model_dir), "--methods", "kv-cache,peers", "--output", str(out)]
    tuibench(["run", *words, "--trials", "1", "--max-new-tokens", "8", "--threads", "1", "--quality"])
    (path,) = out.glob("*.toml")
    session = load(path)
    failed = {trial.method: trial.failure_message for trial in session.trials if trial.failed}
    scored = {each.method: each.kld_mean for each in session.quality if each.kld_mean is not None}
    found = {}
    for method in resolve_methods("peers"):
        most = OTHERWISE.get(method, MOST_KLD[available_methods()[method].precision])
        if method in scored:
            verdict = "right" if scored[method] <= most else "WRONG"
            found[method] = f"{verdict}: KLD {scored[method]:.2g}, at most {most:g}"
        else:
            found[method] = f"no row: {failed.get(method)}"
    return found


def main() -> None:
    """Install what is missing, run both models, and print what came out."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TUIBENCH_CACHE", str(Path(folder) / "cache"))
        for name in RUNTIMES:
            tuibench(["runtimes", "add", name])
        plain = save_llama(Path(folder) / "llama")
        yarn = changed_llama(Path(folder) / "yarn", {"rope_parameters": YARN})
        from transformers import PreTrainedTokenizerFast

        tokenizer = PreTrainedTokenizerFast(tokenizer_object=train_byte_level_bpe(), eos_token=SPECIAL_TOKENS[2])
        tokenizer.save_pretrained(yarn)
        results = {model.name: measured(model, Path(folder) / f"{model.name}-out") for model in (plain, yarn)}
    for model, rows in results.items():
        for method, verdict in rows.items():
            print(model, method, verdict, sep="\t")
    wrong = any(verdict.startswith("WRONG") for rows in results.values() for verdict in rows.values())
    sys.exit(wrong or any(not verdict.startswith("right") for verdict in results["llama"].values()))


if __name__ == "__main__":
    main()
