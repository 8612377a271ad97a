"""Arguments of `tuibench chat`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.one_method import add_calibration_arguments, add_method_arguments, add_threads_argument
from tuibench.cli.arguments.values import given, natural_int, positive_int, probability, temperature
from tuibench.cli.arguments.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    add_method_arguments(parser)
    add = parser.add_argument
    add("--system", type=given, metavar="TEXT", help="what the model is told before the conversation begins")
    add("--raw", action="store_true", help="no chat template: the model continues what was said so far")
    add("--max-new-tokens", type=positive_int, default=512, metavar="N", help="of an answer, at most (default: 512)")
    add("--temperature", type=temperature, default=0.0, metavar="T", help="0 is greedy, as measured (default)")
    add("--top-k", type=natural_int, default=0, metavar="K", help="pick among the K most likely tokens (0: all)")
    add("--top-p", type=probability, default=1.0, metavar="P", help="…among the most likely that make up P (1: all)")
    add("--seed", type=natural_int, default=0, metavar="S", help="the same seed picks the same tokens (default: 0)")
    add_threads_argument(parser)
    add_calibration_arguments(parser)


CHAT = Verb("chat", "talk with a model under one method, in the terminal", _add, "tuibench chat fused-int8")
