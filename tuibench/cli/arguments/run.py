"""Arguments of `tuibench run`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import (
    counts,
    day,
    depths,
    duration_ns,
    given,
    given_path,
    model_name,
    natural_int,
    one_token_count,
    positive_int,
    precision,
    preset,
    probability,
    seconds,
    session_name,
    temperature,
    token_counts,
    words,
)
from tuibench.cli.arguments.verb import EXIT_CODES, Verb
from tuibench.core.run.presets import PRESETS


def _add(parser: argparse.ArgumentParser) -> None:
    add_subject(parser)
    machines = "machines to measure on: hosts of the settings, and `local`; see `tuibench hosts`"
    parser.add_argument("--on", type=given, metavar="A,B,…", help=machines)
    detached = parser.add_mutually_exclusive_group()
    by_itself = "measure without this terminal, there where --on says: `tuibench attach` follows it"
    detached.add_argument("--detach", action="store_true", help=by_itself)
    detached.add_argument("--batch", action="store_true", help="put it into the queue of a Slurm host that --on names")
    parser.add_argument(
        "--control", action="store_true", help="measure the yardstick twice: what equal methods differ by, seen"
    )
    add_prompt(parser, several=True)
    _add_sweep(parser)
    _add_trials(parser)
    add_quality(parser)
    add_session(parser)


def add_subject(parser: argparse.ArgumentParser) -> None:
    """Add what says which model and which methods are measured."""
    add = parser.add_argument_group("what is measured").add_argument
    add(
        "--model",
        type=model_name,
        metavar="M",
        default=argparse.SUPPRESS,  # else `tuibench --model M run` would measure the default model
        help="hub id, local folder or .gguf file (default: SmolLM2-135M-Instruct)",
    )
    add(
        "--methods",
        type=words,
        metavar="A,B,…",
        help="method ids, `ladder`, `peers` or `all` (default: ladder and installed peers), see `tuibench methods`",
    )
    add("--endpoint", type=given, metavar="URL", help="measure an OpenAI-compatible server, too: http://HOST:PORT/v1")
    add("--endpoint-model", type=given, metavar="M", help="…its model, as the server calls it")
    add("--endpoint-api", choices=("completions", "chat"), help="…and what is asked of it (default: completions)")
    add("--endpoint-key-env", type=given, metavar="VAR", help="…with the key in this environment variable")


def add_prompt(parser: argparse.ArgumentParser, *, default_tokens: int = 128, several: bool = False) -> None:
    """Add what says what the model is asked, and how it answers; `several` lets lists be given."""
    group = parser.add_argument_group("what it is asked")
    add = group.add_argument
    prompt = group.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", type=words, metavar="TEXT", help="what the model continues or answers")
    prompt.add_argument("--prompt-file", type=given_path, metavar="F", help="UTF-8 text file with the prompt")
    add("--raw", action="store_true", default=None, help="give the prompt to the model without its chat template")
    add("--prompt-date", type=day, metavar="DAY", help="the day that a chat template tells the model (default: today)")
    one_or_more, called = (token_counts, "N,…") if several else (one_token_count, "N")
    add("--max-new-tokens", type=one_or_more, metavar=called, help=f"tokens to generate (default: {default_tokens})")
    add("--temperature", type=temperature, metavar="T", help="0 is greedy with forced length (default)")
    add("--top-k", type=natural_int, metavar="K", help="with a temperature: pick among the K most likely (0: all)")
    add("--top-p", type=probability, metavar="P", help="…among the most likely that make up P (default: 1)")
    add("--seed", type=natural_int, metavar="S", help="…the same seed picks the same tokens (default: 0)")


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group(
        "several shapes", "every combination is measured; numbers are lists or ranges: 64,512  1-4  64-512+64  1-8*2"
    ).add_argument
    add("--preset", type=preset, metavar="NAME", help=_presets())
    add(
        "--prompt-tokens",
        type=token_counts,
        metavar="N,…",
        help="prompts of this length, cut from the --eval-file text",
    )
    add("--depth", type=depths, metavar="N,…", help="tokens in the KV-cache before the clock starts (default: 0)")
    add("--users", type=counts, metavar="N,…", help="users at once, each with a prompt of its own (default: 1)")
    add("--stagger", action="store_true", help="…who come one by one while the first is answered, not all at once")
    add(
        "--ttft-limit",
        type=duration_ns,
        metavar="T",
        help="…goodput counts users who wait no longer than this, such as 500ms",
    )
    add("--tpot-limit", type=duration_ns, metavar="T", help="…and who get a token at least this often, such as 50ms")


def _presets() -> str:
    told = (f"{name}: {each.words}" for name, each in PRESETS.items())
    return f"a load by its name ({'; '.join(told)})"


def _add_trials(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("how often and how long").add_argument
    add("--trials", type=positive_int, metavar="N", help="measured trials per method (default: 3)")
    add("--precision", type=precision, metavar="5%", help="go on until each decode speed is known this well")
    add("--max-trials", type=positive_int, metavar="N", help="…but take at most N trials (default: 30)")
    add("--min-time", type=seconds, metavar="SECONDS", help="…and decode each method at least this long")
    add("--budget", type=seconds, metavar="SECONDS", help="begin no further round of trials after this time")
    add("--timeout", type=seconds, metavar="SECONDS", help="longest a phase of a trial may take")
    add("--warmup", type=natural_int, metavar="N", help="short warm-up trials per worker (default: 1)")
    add("--threads", type=counts, metavar="N,…", help="threads per worker (default: usable physical cores)")


def add_quality(parser: argparse.ArgumentParser) -> None:
    """Add what says which texts predictions are compared and ranges are found on."""
    add = parser.add_argument_group("predictions and calibration").add_argument
    quality = argparse.BooleanOptionalAction
    add("--quality", action=quality, default=True, help="compare predictions with FP32 after the trials (default)")
    add("--eval-file", type=given_path, metavar="F", help="…on this UTF-8 text instead of the shipped one")
    add("--calibration", type=given_path, metavar="F", help="UTF-8 text to calibrate the quantised ONNX methods on")
    ranges = ("min-max", "percentile", "entropy")
    add("--calibration-ranges", choices=ranges, default="min-max", help="how they are picked (default: min-max)")


def add_session(parser: argparse.ArgumentParser) -> None:
    """Add what says where the session goes, or which one goes on."""
    add = parser.add_argument_group("the session").add_argument
    add("--name", type=words, metavar="NAME", help="name of the session")
    add(
        "--resume",
        type=session_name,
        metavar="SESSION",
        help="measure what a session lacks; model and settings are its own",
    )
    add("--retry-failed", action="store_true", help="…and measure its failed trials again")
    add("--format", choices=("table", "json", "jsonl"), default="table", help="what is printed on standard output")
    add("--output", type=given_path, metavar="DIR", help="folder for the session file")


RUN = Verb(
    "run",
    "measure without the dashboard",
    _add,
    "tuibench run --methods kv-cache,fused-int8 --precision 5%",
    EXIT_CODES,
)
