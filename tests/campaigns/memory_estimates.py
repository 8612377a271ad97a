"""What methods take of memory, against what is said of it beforehand.

    python -m tests.campaigns.memory_estimates [--only METHODS] [--model NAME=FOLDER …]

Each method is prepared, loaded and asked for some tokens in a process of its own, whose high-water marks are read: its
own (`VmHWM`), and the largest of the processes that prepared its files. Resident memory does not depend on what
else the machine does. The models are the default one and a random BF16 Llama of 0.34 billion weights.

Writes `tests/campaigns/memory_estimates.md`; ends with 1 if an estimate is off by more than 15 %.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

N_PROMPT, N_NEW = 512, 4
LIMIT = 0.15
METHODS = (
    "baseline", "kv-cache", "kv-cache-bf16", "kv-cache-compiled", "kv-cache-lookup", "int8-torch",
    "onnx", "onnx-fused", "int8-dynamic", "int8-static", "int4-onnx",
    "fused-fp32", "fused-int8", "fused-int8-lookup", "fused-int4",
)  # fmt: skip
_TABLE = Path(__file__).with_suffix(".md")


def save_random_llama(directory: Path) -> Path:
    """Save 0.34 billion seeded weights in BF16: tied to nothing, as large models are."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny_models import save_llama

    save_llama(directory)  # for its tokenizer
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=24,
        num_attention_heads=16,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.to_empty(device="cpu").to(torch.bfloat16)
    for name, parameter in model.named_parameters():
        torch.nn.init.ones_(parameter) if "norm" in name else torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(directory)
    return directory


def measure_here(method: str, model_dir: Path) -> None:
    """Prepare, load and use a method in this process, and print the high-water marks as JSON."""
    from tuibench.machine.thread_pools import worker_environment

    os.environ |= worker_environment(1)
    from tuibench.core.run.spec import Calibration
    from tuibench.models.text.tokenizer import PromptTokenizer
    from tuibench.worker.load import load_checked
    from tuibench.worker.memory import own_memory
    from tuibench.worker.serve import serve  # noqa: F401 - a worker has it, and the tokenizer

    tokenizer = PromptTokenizer(model_dir)
    engine, _ = load_checked(method, model_dir, 1, Calibration(), lambda *_: None)
    tokenizer.encode("The first tokens", raw=True)
    engine.prefill(list(range(3, 3 + N_PROMPT)), N_PROMPT + N_NEW)
    for token in range(N_NEW):
        engine.decode(token + 3)
    memory = own_memory()
    print(
        json.dumps(
            {
                "own": memory.peak_rss_bytes,
                "anon": memory.rss_anon_bytes,
                "file": memory.rss_file_bytes,
                "prepared": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0,
                "children": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
            }
        )
    )


def measure(method: str, model_dir: Path) -> dict[str, int]:
    """Return the marks of a first start, which prepares, and of a second."""
    command = [sys.executable, "-m", "tests.campaigns.memory_estimates", "--here", method, str(model_dir)]
    marks = []
    while len(marks) < 2 and not (marks and marks[0]["prepared"] is False):
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            return {}
        marks.append(json.loads(done.stdout.splitlines()[-1]))
    return {"prepare": max(marks[0]["children"], marks[0]["own"]), "run": marks[-1]["own"], **marks[-1]}


def row(name: str, method: str, model_dir: Path) -> tuple[str, bool]:
    """Return a method's line of the table, and whether the estimate of its worker is near what was seen."""
    from tuibench.models.memory_needs import need_of
    from tuibench.models.model_size import size_of

    need, marks = need_of(method, size_of(model_dir), N_PROMPT + N_NEW), measure(method, model_dir)
    assert need is not None
    if not marks:
        return f"| {name} | `{method}` | – | – | – | – | – | it ended with an error |", False
    error = need.run / marks["run"] - 1
    prepare = f"{need.prepare / 1e6:.0f}" if need.prepare else "–"
    seen = [f"{marks[key] / 1e6:.0f}" for key in ("run", "anon", "file", "prepare")]
    told = f"{need.run / 1e6:.0f} | {seen[0]} | {error:+.1%} | {seen[1]} | {seen[2]} | {prepare} | {seen[3]}"
    return f"| {name} | `{method}` | {told} |", abs(error) <= LIMIT


def table(lines: list[str]) -> str:
    """Return the page."""
    return "\n".join(
        [
            "# What methods take of memory, told beforehand and seen",
            "",
            "`python -m tests.campaigns.memory_estimates`; in MB. Told: by `tuibench methods --model`. Seen: `VmHWM`",
            "of a worker whose files were made before; its own and mapped pages at the end. Made in: the largest",
            "process of a first start.",
            "",
            "| model | method | told | seen | error | own | files | made in, told | seen |",
            "|---|---|--:|--:|--:|--:|--:|--:|--:|",
            *lines,
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="methods, comma-separated; no table is written")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER", help="instead of the two")
    parser.add_argument("--here", nargs=2, metavar=("METHOD", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        measure_here(options.here[0], Path(options.here[1]))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        models = dict(pair.split("=") for pair in options.model) or default_models(Path(temporary))
        os.environ["TUIBENCH_CACHE"] = f"{temporary}/cache"
        lines, all_near = [], True
        for name, folder in models.items():
            for method in filter(None, options.only.split(",")) if options.only else METHODS:
                line, is_near = row(name, method, Path(folder))
                print(line, flush=True)
                lines.append(line)
                all_near &= is_near
    if not options.only:
        _TABLE.write_text(table(lines))
    return 0 if all_near else 1


def default_models(folder: Path) -> dict[str, str]:
    """Return the default model, from the user's cache, and the random one."""
    from tuibench.models.local import DEFAULT_MODEL
    from tuibench.models.origin.pull import pull_model

    return {
        "SmolLM2-135M": str(pull_model(DEFAULT_MODEL).directory),
        "Llama, 0.34 billion, BF16": str(save_random_llama(folder / "llama")),
    }


if __name__ == "__main__":
    sys.exit(main())
