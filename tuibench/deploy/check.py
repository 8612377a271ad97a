"""Whether a folder gives the tokens that its method gives here, run by itself where tuibench cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tuibench.engines.base import Engine
from tuibench.models.tether import tethered
from tuibench.models.text.tokenizer import PromptTokenizer

_PROMPT = "Once upon a time there was a little"
_N_NEW = 24
_TIMEOUT_S = 1800
_N_TIMED, _N_RUNS = 64, 4
_ALONE = (
    "import os, runpy, sys; os.chdir(os.sep); sys.argv = sys.argv[1:]; sys.path[0] = os.path.dirname(sys.argv[0]); "
)
"""As `python SCRIPT …` elsewhere."""
_WITHOUT = "import sys; sys.modules['tuibench'] = None; "
"""So that it cannot be imported, wherever it is installed."""
_CHECK = """
import contextlib, io, json, time
import model
load, loaded = model.Model, []
def load_once(*settings):
    if not loaded:
        loaded.append(load(*settings))
    return loaded[0]
model.Model = load_once
script, given = sys.argv[0], json.loads(sys.argv[1])
answers = []
for arguments in given["arguments"]:
    sys.argv = [script, *arguments]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        runpy.run_path(script, run_name="__main__")
    answers.append(json.loads(said.getvalue().splitlines()[-1]))
import generate
prompt, new = given["prompt"], given["new"]
runs = [[time.perf_counter_ns() for _ in generate.greedy(loaded[0], prompt, new)] for _ in range(given["runs"])]
print(json.dumps({"answers": answers, "runs": runs}), file=sys.stderr)
"""
"""The script once for each answer, then its loop under a clock; libraries and model are loaded once for all of it."""


class OtherTokensError(Exception):
    """A folder does not do what its method does; the message says how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A greedy answer, as far as it goes before the model ends it."""

    raw: bool
    prompt_ids: list[int]
    new_ids: list[int]


def answers(engine: Engine, tokenizer: PromptTokenizer, context_window: int | None) -> list[Answer]:
    """Return what a loaded method answers without the chat template, and with it if there is one.

    Raises:
        ModelError: The chat template refuses the prompt.
    """
    kinds = (True, False) if tokenizer.has_chat_template else (True,)
    return [_answer(engine, tokenizer, context_window, raw=raw) for raw in kinds]


def _answer(engine: Engine, tokenizer: PromptTokenizer, context_window: int | None, *, raw: bool) -> Answer:
    prompt_ids = tokenizer.encode(_PROMPT, raw=raw, today=datetime.now().astimezone().date())
    n_most = _N_NEW if context_window is None else min(_N_NEW, context_window - len(prompt_ids))
    new_ids: list[int] = []
    logits = engine.prefill(prompt_ids, len(prompt_ids) + n_most)
    while len(new_ids) < n_most and (token_id := int(logits.argmax())) not in tokenizer.eos_ids:
        new_ids.append(token_id)
        if len(new_ids) < n_most:
            logits = engine.decode(token_id)
    return Answer(raw, prompt_ids, new_ids)


def check_alone(folder: Path, expected: Sequence[Answer], n_threads: int, *, with_tuibench: bool) -> float | None:
    """Run the folder's script in a fresh process, somewhere else, and compare what it answers.

    Returns how fast it decodes the last of the prompts, in tokens per second: the median of three runs. None where an
    answer has fewer than two tokens.

    Raises:
        OtherTokensError: It fails, or gives other tokens.
    """
    window = json.loads((folder / "settings.json").read_text(encoding="utf-8"))["context_window"] or sys.maxsize
    options = ["--ids", "--max-new-tokens", str(_N_NEW), "--threads", str(n_threads)]
    prompt_ids = expected[-1].prompt_ids
    given = {
        "arguments": [[_PROMPT, *options, *["--raw"] * answer.raw] for answer in expected],
        "prompt": prompt_ids,
        "new": min(_N_TIMED, window - len(prompt_ids)),
        "runs": _N_RUNS,
    }
    said = _run(_CHECK, [str(folder / "generate.py"), json.dumps(given)], with_tuibench=with_tuibench)
    for answer, told in zip(expected, said["answers"], strict=True):
        _compare("prompt", answer.prompt_ids, told["prompt"])
        _compare("answer", answer.new_ids, told["new"])
    stamps_ns: list[list[int]] = said["runs"][1:]  # the first warms up
    found = [(len(run) - 1) / (run[-1] - run[0]) * 1e9 for run in stamps_ns if len(run) > 1]
    return median(found) if found else None


def _run(program: str, arguments: Sequence[str], *, with_tuibench: bool) -> dict[str, Any]:
    """Run a program in a fresh process; return the JSON in the last line of its standard error."""
    # -B: no compiled module is left in the folder.
    command = [sys.executable, "-B", "-c", ("" if with_tuibench else _WITHOUT) + _ALONE + program, *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        tethered(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_TIMEOUT_S,
        env=environment,
    )
    last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if done.returncode != 0:
        sys.stderr.buffer.write(done.stderr)
        raise OtherTokensError(f"run by itself, its script ends with status {done.returncode}: {last or 'no word'}")
    said: dict[str, Any] = json.loads(last)
    return said


def _compare(what: str, ours: Sequence[int], theirs: Sequence[int]) -> None:
    if ours != theirs:
        where = _first_difference(ours, theirs)
        raise OtherTokensError(f"run by itself, it gives other tokens of the {what}: {where}")


def _first_difference(ours: Sequence[int], theirs: Sequence[int]) -> str:
    for index, (own, other) in enumerate(zip(ours, theirs, strict=False)):
        if own != other:
            return f"token {index} is {other} instead of {own}"
    return f"{len(theirs)} instead of {len(ours)}"
