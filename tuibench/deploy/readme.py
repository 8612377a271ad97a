"""The README of a folder, and what has to be installed for it."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import tuibench
from tuibench.core.format import change, counted, rate
from tuibench.deploy.check import Answer
from tuibench.deploy.contents import licence_files, licence_name
from tuibench.deploy.messages import TakeRequest
from tuibench.deploy.methods import Scripts
from tuibench.models.digest import sha256
from tuibench.store.export.markdown import escaped

_README, _REQUIREMENTS = "README.md", "requirements.txt"


_AS_FAST = 0.05
"""How far the decode speed may be from the row's and count as the same."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a folder was seen to do by itself."""

    answers: Sequence[Answer]
    """That it gave as it should."""
    decode_tps: float | None


def write_readme(folder: Path, request: TakeRequest, explanation: str, scripts: Scripts, checked: Checked) -> None:
    """Write both, after all other files.

    Args:
        folder: Where.
        request: What was asked for.
        explanation: What the method does, in a few words.
        scripts: What runs it.
        checked: What the folder was seen to do.
    """
    in_chat = (folder / "chat_template.jinja").exists()
    libraries = sorted([*scripts.libraries, *(["jinja2"] if in_chat else [])])
    pins = [f"{library}=={version(library)}" for library in libraries]
    (folder / _REQUIREMENTS).write_text("\n".join(pins) + "\n", encoding="utf-8")
    parts = (
        _opening(request, explanation, needs_tuibench=scripts.needs_tuibench),
        _use(request.n_threads, in_chat=in_chat, needs_tuibench=scripts.needs_tuibench),
        ["## Measured", "", *(request.measured or ["No session of this model and method was at hand."])],
        [*_checked(request.method, checked.answers, libraries), "", _speed(checked, request.measured_decode_tps)],
        ["## Files", "", "SHA-256, as `sha256sum` prints them:", "", "```", *_sums(folder), "```"],
        _licence(Path(request.model_dir)),
    )
    (folder / _README).write_text("\n\n".join("\n".join(part) for part in parts) + "\n", encoding="utf-8")


def _opening(request: TakeRequest, explanation: str, *, needs_tuibench: bool) -> list[str]:
    what = f"{explanation[0].upper()}{explanation[1:]}."
    made = f"Made on {datetime.now(UTC):%Y-%m-%d} from {escaped(request.source)} by tuibench {tuibench.__version__}"
    needs = "whose kernels it runs: that has to be installed" if needs_tuibench else "which it does not need to run"
    return [f"# {escaped(request.model_name)}, {request.method}", "", f"{what} {made}, {needs}."]


def _use(n_threads: int, *, in_chat: bool, needs_tuibench: bool) -> list[str]:
    raw = ", `--raw` (leaves the chat template out)" if in_chat else ""
    options = f"`--max-new-tokens N` (128), `--threads N` ({n_threads}){raw}, `--ids` (tells the ids of all tokens)"
    return [
        "```",
        f"pip install -r {_REQUIREMENTS}{'  # and tuibench, as it was installed here' if needs_tuibench else ''}",
        'python generate.py "Why is the sky blue?"',
        "```",
        "",
        f"Options: {options}.",
        "The answer is greedy: always the most likely token.",
        "In a program of your own, take `Model` from `model.py`: `prefill` reads a prompt, `decode` a token; both give",
        "the logits that follow.",
    ]


def _checked(method: str, checked: Sequence[Answer], libraries: Sequence[str]) -> list[str]:
    where = {True: "of raw text", False: "within the chat template"}
    seen = " and ".join(f"{counted(len(answer.new_ids), 'token')} {where[answer.raw]}" for answer in checked)
    versions = ", ".join(f"{library} {version(library)}" for library in libraries)
    return [
        "## Checked",
        "",
        f"Run by itself, before it was handed over, it gave the very tokens that {method} gives in tuibench: {seen}.",
        f"Python {platform.python_version()}, {versions}.",
    ]


def _speed(checked: Checked, row_tps: float | None) -> str:
    """Say how fast it was, and whether that is the row's speed."""
    if checked.decode_tps is None:
        return "Its speed was not seen: the answer that was timed has fewer than two tokens."
    seen = f"It decoded {rate(checked.decode_tps)}, the median of three runs in a fresh process"
    if row_tps is None:
        return f"{seen}; there is no row to compare that with."
    off = checked.decode_tps / row_tps - 1
    if abs(off) <= _AS_FAST:
        return f"{seen}: within 5 % of the row's {rate(row_tps)}."
    why = "the machine may have been busy with something else then" if off < 0 else "the machine was busier then"
    return f"{seen}: {change(off)} from the row's {rate(row_tps)}, which is not within 5 %; {why}, so time it again."


def _sums(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != _README:
            yield f"{sha256([path])}  {path.name}"


def _licence(model_dir: Path) -> list[str]:
    files = [path.name for path in licence_files(model_dir)]
    name = licence_name(model_dir)
    told = ", ".join(filter(None, (name, f"see {', '.join(files)}" if files else None)))
    return [
        "## Licence",
        "",
        f"Of the model: {told or 'unknown – see the model’s page'}.",
        "Of the scripts, which are tuibench's: MIT.",
    ]
