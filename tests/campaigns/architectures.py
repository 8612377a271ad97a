"""Every causal-LM type of transformers, tiny, through the worker: `python -m tests.campaigns.architectures`.

For each type, and some settings beside the types' defaults, a seeded folder is made, and transformers computes its
uncached FP32 logits in a process of its own. Each installed method then generates and scores in a worker, in a process
of its own; the engines of the FP32 torch methods are also compared step by step. A method is right if it computes the
same, or refuses in one line that a user can act on. The table goes to `tests/campaigns/architectures.md`.

    python -m tests.campaigns.architectures --types llama,mamba --methods baseline,kv-cache
    python -m tests.campaigns.architectures --types gemma4_text --update   # and put it into the table
    python -m tests.campaigns.architectures --results results.jsonl   # goes on where it was stopped
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from tests.architectures.types import NOT_BUILT, VARIANTS
from tuibench.machine.thread_pools import worker_environment

TABLE = Path(__file__).with_suffix(".md")


def all_names() -> list[str]:
    """Return the model types that transformers maps to a causal LM, and the variants."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted([*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *VARIANTS])


def _judged(task: tuple[str, list[str]]) -> tuple[str, dict[str, str]]:
    name, methods = task
    _import_model(name)
    with tempfile.TemporaryDirectory() as folder:
        return name, judged(name, methods, Path(folder))


def judged(name: str, methods: list[str], scratch: Path) -> dict[str, str]:
    """Return each method's verdict on one type."""
    from tests.architectures import truth as uncached
    from tests.architectures.folders import save_folder
    from tests.architectures.forked import DiedError, called_in_child
    from tests.architectures.judged import judge, judge_refusal

    directory, log = scratch / "model", scratch / "transformers.log"

    def computed() -> uncached.Truth:
        truth = uncached.compute(directory)
        uncached.plant_reference(truth, directory)
        return truth

    try:
        called_in_child(lambda: save_folder(name, directory), log)
    except DiedError as error:
        return dict.fromkeys(methods, f"not built: {' '.join(str(error).split())}")
    try:
        truth = called_in_child(computed, log)
    except DiedError as error:
        return {method: judge_refusal(method, directory, scratch, str(error)) for method in methods}
    return {method: judge(method, directory, truth, scratch) for method in methods}


def _import_everything() -> None:
    """Import what workers import, and compute nothing: a process that has must not be forked."""
    import onnxruntime  # noqa: F401
    import torch  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast  # noqa: F401

    import tuibench.worker.serve  # noqa: F401
    from tuibench.methods import available_methods

    available_methods()


def _import_model(name: str) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    from tests.architectures.folders import tiny_config

    with suppress(Exception):  # what is wrong with it is told by the process that makes the folder
        MODEL_FOR_CAUSAL_LM_MAPPING[type(tiny_config(name))]


def judge_all(tasks: list[tuple[str, list[str]]], results: Path, n_jobs: int) -> None:
    """Judge types by methods, and append a line for each type when it is done."""
    _import_everything()
    with get_context("fork").Pool(n_jobs) as pool:
        for name, verdicts in pool.imap_unordered(_judged, tasks):
            with results.open("a") as lines:
                lines.write(json.dumps({"name": name, "verdicts": verdicts}, ensure_ascii=False) + "\n")
            told = "; ".join(f"{method} {verdict}" for method, verdict in verdicts.items())
            print(f"{name}: {told}", flush=True)


def read_results(results: Path) -> dict[str, dict[str, str]]:
    """Return the verdicts so far; a later line about a type adds to the earlier ones."""
    found: dict[str, dict[str, str]] = {}
    for line in results.read_text().splitlines() if results.exists() else ():
        entry = json.loads(line)
        found.setdefault(entry["name"], {}).update(entry["verdicts"])
    return found


def _versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("transformers", "torch", "onnxruntime"))


def main() -> int:
    from tests.architectures.table import read_table, table
    from tuibench.methods import available_methods

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", help="comma-separated names; default: all")
    parser.add_argument("--methods", help="comma-separated ids; default: all")
    parser.add_argument("--update", action="store_true", help="put the verdicts on --types, --methods into the table")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, help="file of verdicts; what is in it is not judged again")
    options = parser.parse_args()
    names = options.types.split(",") if options.types else [name for name in all_names() if name not in NOT_BUILT]
    methods = options.methods.split(",") if options.methods else list(available_methods())
    os.environ.update(worker_environment(1))
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TUIBENCH_CACHE", str(Path(folder) / "cache"))
        results = options.results or Path(folder) / "results.jsonl"
        known = read_results(results)
        left = {name: [method for method in methods if method not in known.get(name, {})] for name in names}
        judge_all([task for task in left.items() if task[1]], results, options.jobs)
        verdicts = read_results(results)
    if options.update:
        columns, shown = read_table(TABLE.read_text())
        for name in names:
            shown.setdefault(name, {}).update(verdicts[name])
        columns += [method for method in methods if method not in columns]
        TABLE.write_text(table(shown, columns, NOT_BUILT, _versions()))
    elif not options.types:
        TABLE.write_text(table(verdicts, methods, NOT_BUILT, _versions()))
    bad = {
        (name, method): verdict
        for name in names
        for method, verdict in verdicts[name].items()
        if not verdict.startswith(("right", "refused"))
    }
    for (name, method), verdict in bad.items():
        print(f"{name}, {method}: {verdict}", file=sys.stderr)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
