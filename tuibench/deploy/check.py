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
_SCRIPT = "runpy.run_path(sys.argv[0], run_name='__main__')"
_TIMER = """
import json, time
import generate
given = json.loads(sys.argv[1])
model = generate.Model(generate.FOLDER, generate.SETTINGS, given["threads"])
prompt, new = given["prompt"], given["new"]
runs = [[time.perf_counter_ns() for _ in generate.greedy(model, prompt, new)] for _ in range(given["runs"])]
print(json.dumps({"runs": runs}), file=sys.stderr)
"""


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


def check_alone(folder: Path, expected: Answer, n_threads: int, *, with_tuibench: bool) -> None:
    """Run the folder's script in a fresh process, somewhere else, and compare.

    Raises:
        OtherTokensError: It fails, or gives other tokens.
    """
    options = ["--ids", "--max-new-tokens", str(_N_NEW), "--threads", str(n_threads), *["--raw"] * expected.raw]
    said = _run(_SCRIPT, [str(folder / "generate.py"), _PROMPT, *options], with_tuibench=with_tuibench)
    for what, ours, theirs in (
        ("of the prompt", expected.prompt_ids, said["prompt"]),
        ("of the answer", expected.new_ids, said["new"]),
    ):
        if ours != theirs:
            raise OtherTokensError(f"run by itself, it gives other tokens {what}: {_first_difference(ours, theirs)}")


def speed_alone(folder: Path, answer: Answer, n_threads: int, *, with_tuibench: bool) -> float | None:
    """Return how fast a folder's script decodes in a fresh process, in tokens per second: the median of three runs.

    None where an answer has fewer than two tokens.

    Raises:
        OtherTokensError: It fails.
    """
    window = json.loads((folder / "settings.json").read_text(encoding="utf-8"))["context_window"] or sys.maxsize
    given = {
        "prompt": answer.prompt_ids,
        "new": min(_N_TIMED, window - len(answer.prompt_ids)),
        "runs": _N_RUNS,
        "threads": n_threads,
    }
    arguments = [str(folder / "generate.py"), json.dumps(given)]
    stamps_ns: list[list[int]] = _run(_TIMER, arguments, with_tuibench=with_tuibench)["runs"]
    found = [(len(run) - 1) / (run[-1] - run[0]) * 1e9 for run in stamps_ns[1:] if len(run) > 1]  # the first warms up
    return median(found) if found else None


def _run(program: str, arguments: Sequence[str], *, with_tuibench: bool) -> dict[str, Any]:
    """Run a program in a fresh process; return the JSON in the last line of its standard error."""
    command = [sys.executable, "-c", ("" if with_tuibench else _WITHOUT) + _ALONE + program, *arguments]
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


def _first_difference(ours: Sequence[int], theirs: Sequence[int]) -> str:
    for index, (own, other) in enumerate(zip(ours, theirs, strict=False)):
        if own != other:
            return f"token {index} is {other} instead of {own}"
    return f"{len(theirs)} instead of {len(ours)}"
