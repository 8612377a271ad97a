"""Arguments of all verbs that put one method to use."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import given_path, model_name, positive_int, words

_RANGES = ("min-max", "percentile", "entropy")


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a method and a model."""
    add = parser.add_argument
    add("method", type=words, metavar="METHOD", help="see `tuibench methods`")
    add(
        "--model",
        type=model_name,
        metavar="M",
        default=argparse.SUPPRESS,  # else `tuibench --model M VERB` would use the default model
        help="hub id, local folder or .gguf file (default: SmolLM2-135M-Instruct)",
    )


def add_calibration_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a quantised ONNX method was calibrated on."""
    add = parser.add_argument
    add("--calibration", type=given_path, metavar="F", help="UTF-8 text that the method was calibrated on")
    add("--calibration-ranges", choices=_RANGES, default="min-max", help="how they were picked (default: min-max)")


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    """Add how many threads work."""
    help_ = "threads (default: usable physical cores)"
    parser.add_argument("--threads", type=positive_int, metavar="N", help=help_)
