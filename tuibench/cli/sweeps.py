"""Several shapes in one run: what the command line says of them, and whether there are too many."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tuibench.cli.arguments import UsageError
from tuibench.core.format import counted
from tuibench.core.run.presets import USERS_PROMPT_TOKENS

if TYPE_CHECKING:
    import argparse

    from tuibench.core.run.shape import Sweep
    from tuibench.core.run.spec import EvalText, RunSpec

_MANY_CELLS = 300
"""Methods times shapes, from which on somebody is asked whether that is meant."""
_SLOW_TPS, _SLOW_PREFILL_TPS, _LOAD_S = 20.0, 200.0, 10.0
"""What a small model does on a slow machine: for a guess of the time before anything was measured."""


def asked_sweep(options: argparse.Namespace) -> Sweep | None:
    """Return the sweep that options ask for; None where they name one shape with the prompt that somebody wrote.

    Raises:
        UsageError: The options contradict each other.
    """
    from tuibench.core.run.presets import PRESETS  # noqa: PLC0415 - not needed for --help
    from tuibench.core.run.shape import Sweep  # noqa: PLC0415
    from tuibench.core.run.spec import DEFAULT_NEW_TOKENS  # noqa: PLC0415
    from tuibench.machine.fingerprint import default_threads  # noqa: PLC0415

    prompts, new_tokens, users = options.prompt_tokens, options.max_new_tokens, options.users
    if options.preset is not None:
        if prompts is not None:
            raise UsageError("--preset says how long the prompt is: leave --prompt-tokens out")
        preset = PRESETS[options.preset]
        prompts, new_tokens = (preset.prompt_tokens,), new_tokens or (preset.max_new_tokens,)
        users = users or (preset.n_users,)
    several_users = max(users or (1,)) > 1
    if several_users:
        _check_users(options)
        prompts = prompts or (USERS_PROMPT_TOKENS,)
    elif options.stagger or options.ttft_limit is not None or options.tpot_limit is not None:
        raise UsageError(
            "--stagger, --ttft-limit and --tpot-limit are for several users: give --users a number above 1"
        )
    if prompts is not None and (options.prompt is not None or options.prompt_file is not None):
        raise UsageError("--prompt-tokens and --preset cut prompts from a text: leave --prompt and --prompt-file out")
    several = any(len(values or ()) > 1 for values in (new_tokens, options.threads, options.depth))
    if prompts is None and not several and not any(options.depth or ()):
        return None
    return Sweep(
        prompt_tokens=prompts or (),
        depth_tokens=options.depth or (0,),
        max_new_tokens=new_tokens or (DEFAULT_NEW_TOKENS,),
        n_threads=options.threads or (default_threads(),),
        n_users=users or (1,),
    )


def _check_users(options: argparse.Namespace) -> None:
    if options.prompt is not None or options.prompt_file is not None:
        raise UsageError(
            "--users: each gets a prompt of its own, cut from a text: leave --prompt and --prompt-file out"
        )
    if options.temperature:
        raise UsageError("--users: all get answers of one length, greedily: leave --temperature out")


def running_text(options: argparse.Namespace) -> EvalText:
    """Return what prompts are cut from and depth is filled with: the text that quality is measured on.

    Raises:
        UsageError: There is no such text.
    """
    from tuibench.measure.run.evaluation_text import EvalFileError, shipped_text, text_from  # noqa: PLC0415

    try:
        return shipped_text() if options.eval_file is None else text_from(options.eval_file)
    except EvalFileError as error:
        raise UsageError(str(error)) from error


def confirm_size(spec: RunSpec) -> None:
    """Ask whether a sweep of very many cells is meant.

    Raises:
        UsageError: It is not, or nobody is there to be asked.
    """
    n_shapes = spec.sweep.n_shapes if spec.sweep else 0
    if (n_cells := len(spec.methods) * n_shapes) <= _MANY_CELLS:
        return
    told = f"{n_cells:,} cells ({counted(len(spec.methods), 'method')} × {n_shapes:,} shapes) of "
    told += f"{counted(spec.n_trials, 'trial')} take about {_in_words(guessed_s(spec))}"
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        raise UsageError(f"{told}: give fewer values or methods, or run it in a terminal, where this is a question")
    print(f"{told}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError("not begun; give fewer values or methods")


def guessed_s(spec: RunSpec) -> float:
    """Return a guess of what a sweep takes, made before anything is known of model and machine."""
    if spec.sweep is None:
        return 0.0
    shapes = spec.sweep.shapes()
    trial_s = sum(
        shape.n_users
        * (((shape.prompt_tokens or 0) + shape.depth_tokens) / _SLOW_PREFILL_TPS + shape.max_new_tokens / _SLOW_TPS)
        for shape in shapes
    )
    n_loads = len(spec.sweep.n_threads)
    return len(spec.methods) * spec.n_trials * (trial_s + n_loads * _LOAD_S)


def _in_words(seconds: float) -> str:
    for limit, unit_s, unit in ((5400, 60, "minutes"), (48 * 3600, 3600, "hours")):
        if seconds < limit:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
