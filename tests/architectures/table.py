"""The verdicts as a Markdown table: a row for each type, a column for each method, each reason once below it."""

from __future__ import annotations

import re
from collections.abc import Mapping

Verdicts = Mapping[str, Mapping[str, str]]
"""Type → method → verdict."""

_HEAD = (
    "Written by `python -m tests.campaigns.architectures` with {versions}. Each type is a tiny seeded model whose "
    "windows are shorter than the text. ✓: the tokens and the scored text are those of transformers' uncached FP32 "
    "forward (exact methods: KLD ≤ 1e-4; INT8 and INT4: close to it). A number: refused, with the reason below. –: not "
    "judged. Rows that are judged anew stand beside older ones."
)
_RIGHT, _REFUSED, _UNJUDGED = "✓", "refused", "–"


def table(verdicts: Verdicts, methods: list[str], not_built: Mapping[str, str], versions: str) -> str:
    """Return the page."""
    reasons: dict[str, int] = {}
    rows = [
        [
            name,
            *(_cell(verdicts[name].get(method), name, reasons) for method in methods),
        ]
        for name in sorted(verdicts)
    ]
    n_right = {method: sum(row[column] == _RIGHT for row in rows) for column, method in enumerate(methods, 1)}
    return "\n".join(
        [
            "# Which model types run, and how",
            "",
            _HEAD.format(versions=versions),
            "",
            "| type | " + " | ".join(f"`{method}`" for method in methods) + " |",
            "|---|" + "---|" * len(methods),
            *("| " + " | ".join(row) + " |" for row in rows),
            "| **right** | " + " | ".join(f"**{n}**" for n in n_right.values()) + " |",
            "",
            *(f"{number}. {reason}" for reason, number in reasons.items()),
            "",
            "Not built: " + "; ".join(f"{name} ({reason})" for name, reason in sorted(not_built.items())) + ".",
            "",
        ]
    )


def read_table(page: str) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Return the methods of a page and its verdicts; of what is neither right nor refused, without its bold type."""
    reasons = dict(re.findall(r"^(\d+)\. (.*)$", page, re.MULTILINE))
    head, _line, *rows, _totals = re.findall(r"^\|(.*)\|$", page, re.MULTILINE)
    _type, *methods = (cell.strip(" `") for cell in head.split("|"))
    verdicts: dict[str, dict[str, str]] = {}
    for row in rows:
        name, *cells = (cell.strip() for cell in row.split("|"))
        judged = zip(methods, cells, strict=True)
        verdicts[name] = {method: _verdict(cell, reasons) for method, cell in judged if cell != _UNJUDGED}
    return methods, verdicts


def _verdict(cell: str, reasons: Mapping[str, str]) -> str:
    if cell == _RIGHT:
        return "right"
    return f"{_REFUSED}: {reasons[cell]}" if cell in reasons else cell.strip("*")


def _cell(verdict: str | None, name: str, reasons: dict[str, int]) -> str:
    if verdict is None:
        return _UNJUDGED
    if verdict == "right":
        return _RIGHT
    kind, _, reason = verdict.partition(": ")
    if kind != _REFUSED:
        return f"**{verdict.replace('|', '/')}**"
    return str(reasons.setdefault(_without_names(reason, name), len(reasons) + 1))


def _without_names(reason: str, name: str) -> str:
    """Replace what differs from type to type, so that one reason is listed once."""
    if "…" in reason:  # from the page; the name may stand once more, in a list of those that are known
        return reason
    model_type = re.escape(name.split(" ", maxsplit=1)[0])
    return re.sub(rf"(?<![\w-])'?{model_type}'?(?![\w-])", "…", reason)
