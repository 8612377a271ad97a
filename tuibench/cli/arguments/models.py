"""Arguments of `tuibench models`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import given, model_name
from tuibench.cli.arguments.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=("list", "pull", "rm"), default="list", help="default: list")
    add("model", nargs="?", type=model_name, metavar="MODEL", help="hub id, local folder or .gguf file")
    only = "with rm: only what methods made, of one model or all"
    add("--artifacts", nargs="?", const=True, type=given, metavar="MODEL", help=only)


MODELS = Verb(
    "models",
    "list, pull or remove models in the cache",
    _add,
    "tuibench models pull HuggingFaceTB/SmolLM2-360M-Instruct",
)
