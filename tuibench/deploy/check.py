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

from tuibench.engines.base import Engine
from tuibench.models.tether import tethered
from tuibench.models.text.tokenizer import PromptTokenizer

_PROMPT = "Once upon a time there was a little"
_N_NEW = 24
_TIMEOUT_S = 1800
_ALONE = (
    "import os, runpy, sys; os.chdir(os.sep); sys.modules['tuibench'] = None; sys.argv = sys.argv[1:]; "
    "sys.path[0] = os.path.dirname(sys.argv[0]); runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""As `python SCRIPT …` elsewhere, but tuibench cannot be imported, wherever it is installed."""


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


def check_alone(folder: Path, expected: Answer, n_threads: int) -> None:
    """Run the folder's script in a fresh process, somewhere else, and compare.

    Raises:
        OtherTokensError: It fails, or gives other tokens.
    """
    options = ["--ids", "--max-new-tokens", str(_N_NEW), "--threads", str(n_threads), *["--raw"] * expected.raw]
    said = _run([str(folder / "generate.py"), _PROMPT, *options])
    for what, ours, theirs in (
        ("of the prompt", expected.prompt_ids, said["prompt"]),
        ("of the answer", expected.new_ids, said["new"]),
    ):
        if ours != theirs:
            raise OtherTokensError(f"run by itself, it gives other tokens {what}: {_first_difference(ours, theirs)}")


def _run(arguments: Sequence[str]) -> dict[str, list[int]]:
    command = [sys.executable, "-c", _ALONE, *arguments]
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
    said: dict[str, list[int]] = json.loads(last)
    return said


def _first_difference(ours: Sequence[int], theirs: Sequence[int]) -> str:
    for index, (own, other) in enumerate(zip(ours, theirs, strict=False)):
        if own != other:
            return f"token {index} is {other} instead of {own}"
    return f"{len(theirs)} instead of {len(ours)}"
