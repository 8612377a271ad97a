"""Arguments of `tuibench pick`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.run import add_prompt, add_quality, add_session, add_subject
from tuibench.cli.arguments.values import (
    byte_count,
    divergence,
    duration_ns,
    natural_int,
    one_count,
    rate,
    seconds,
)
from tuibench.cli.arguments.verb import Verb

_EPILOG = """\
Each method has one short trial; whatever cannot win is measured no further and
not scored. The others go on until the fastest that keeps the limits is known
with 95 % confidence, or 12 rounds are over.

exit codes: 0 one method is the answer; 1 none keeps the limits; 2 bad usage or
input; 4 an answer that is not certain; 130 interrupted
"""


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what the method must keep").add_argument
    add("--max-kld", type=divergence, default=0.05, metavar="X", help="divergence from FP32 (default: 0.05)")
    add("--max-rss", type=byte_count, metavar="SIZE", help="peak memory: 600MB, 2GiB")
    add("--min-decode", type=rate, metavar="TPS", help="tokens per second")
    add("--max-ttft", type=duration_ns, metavar="TIME", help="time to first token: 200ms, 1.5s")
    add_subject(parser)
    add_prompt(parser, default_tokens=32)
    add = parser.add_argument_group("how long").add_argument
    add("--timeout", type=seconds, metavar="SECONDS", help="longest a phase of a trial may take")
    add("--warmup", type=natural_int, metavar="N", help="short warm-up trials per worker (default: 1)")
    add("--threads", type=one_count, metavar="N", help="threads per worker (default: usable physical cores)")
    add_quality(parser)
    add_session(parser)
    parser.set_defaults(trials=None, precision=None, max_trials=None, min_time=None, budget=None, control=False)
    parser.set_defaults(preset=None, prompt_tokens=None, depth=None, users=None, on=None)
    parser.set_defaults(stagger=False, ttft_limit=None, tpot_limit=None)


PICK = Verb(
    "pick",
    "search for the fastest method that keeps your limits",
    _add,
    "tuibench pick --max-kld 0.02 --max-rss 600MB --min-decode 50",
    _EPILOG,
)
