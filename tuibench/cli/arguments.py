"""Arguments of the verbs, and what they mean together."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuibench.core.run.spec import Calibration, EvalText, RunSpec

_MAX_PROMPT_BYTES = 4 << 20
_MAX_NEW_TOKENS = 200_000
_INT_LIMIT = 1 << 63
"""No session file holds a larger number."""


class UsageError(Exception):
    """What the user asked for cannot be done; the message says what would."""


def positive_int(text: str) -> int:
    """Return a count of at least one."""
    return _int_from(text, 1)


def token_count(text: str) -> int:
    """Return a number of tokens to generate: more than any context window holds is a slip."""
    value = positive_int(text)
    if value > _MAX_NEW_TOKENS:
        raise argparse.ArgumentTypeError(f"{value} is too large: {_MAX_NEW_TOKENS} at most")
    return value


def natural_int(text: str) -> int:
    """Return a count that may be zero."""
    return _int_from(text, 0)


def _int_from(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is too small: {least} or more")
    if value >= _INT_LIMIT:
        raise argparse.ArgumentTypeError(f"{value} is too large: less than 2**63")
    return value


def _float_in(text: str, low: float, high: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text} is not a {what}: {low:g} to {high:g}")
    return value


def temperature(text: str) -> float:
    """Return a sampling temperature."""
    return _float_in(text, 0, 100, "temperature")


def probability(text: str) -> float:
    """Return a probability mass above 0."""
    return _float_in(text, 1e-6, 1, "probability")


def precision(text: str) -> float:
    """Return a relative half-width, given as `5%` or `0.05`."""
    number = text.removesuffix("%")
    return _float_in(number, 0.1, 100, "percentage") / 100 if number != text else _float_in(text, 0.001, 1, "share")


def seconds(text: str) -> float:
    """Return a duration."""
    return _float_in(text, 0.001, 1e7, "time in seconds")


def day(text: str) -> date:
    """Return a day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-11-29") from None


def speed(text: str) -> float:
    """Return how many times faster than it was recorded a replay is."""
    return _float_in(text, 0.001, 1e6, "speed")


def given(text: str) -> str:
    """Return what must not be left empty: an unset variable of a shell would mean something else than was meant."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; leave the option out, or say what is meant")
    return words(text)


def words(text: str) -> str:
    """Return what is shown and stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("it is not UTF-8 text") from None
    return text


def given_path(text: str) -> Path:
    """Return a path, in whatever bytes."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; leave the option out, or name a path")
    from tuibench.paths import expanded  # noqa: PLC0415 - not needed for --help

    return expanded(text)


def model_name(text: str) -> str:
    """Return what a model is called here: the address of its page is its hub id."""
    from tuibench.models.local import ModelError  # noqa: PLC0415 - not needed for --help
    from tuibench.models.origin.page_address import hub_id  # noqa: PLC0415

    try:
        return hub_id(given(text))
    except ModelError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def session_name(text: str) -> str:
    """Return what a session is called: every name begins with an empty one."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; `tuibench sessions` lists what there is")
    return text


def add_dashboard_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the dashboard takes."""
    parser.add_argument(
        "--model", type=model_name, metavar="M", help="hub id, local folder or .gguf file (default: the small sample)"
    )
    parser.add_argument("--theme", type=words, metavar="T", help="name of a theme file")
    parser.add_argument("--color", choices=("truecolor", "256", "16"), help="colours the terminal shows")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    parser.add_argument("--low-bandwidth", action="store_true", help="repaint once a second")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a headless run takes."""
    add = parser.add_argument
    add(
        "--model",
        type=model_name,
        metavar="M",
        default=argparse.SUPPRESS,  # else `tuibench --model M run` would measure the default model
        help="hub id, local folder or .gguf file (default: SmolLM2-135M-Instruct)",
    )
    add("--methods", type=words, metavar="A,B,…", help="method ids, or `all` (default), see `tuibench methods`")
    add("--endpoint", type=given, metavar="URL", help="measure an OpenAI-compatible server, too: http://HOST:PORT/v1")
    add("--endpoint-model", type=given, metavar="M", help="…its model, as the server calls it")
    add("--endpoint-api", choices=("completions", "chat"), help="…and what is asked of it (default: completions)")
    add("--endpoint-key-env", type=given, metavar="VAR", help="…with the key in this environment variable")
    add("--control", action="store_true", help="measure the yardstick twice: what equal methods differ by, seen")
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", type=words, metavar="TEXT", help="what the model continues or answers")
    prompt.add_argument("--prompt-file", type=given_path, metavar="F", help="UTF-8 text file with the prompt")
    add("--raw", action="store_true", default=None, help="give the prompt to the model without its chat template")
    add("--prompt-date", type=day, metavar="DAY", help="the day that a chat template tells the model (default: today)")
    add("--max-new-tokens", type=token_count, metavar="N", help="tokens to generate (default: 128)")
    add("--trials", type=positive_int, metavar="N", help="measured trials per method (default: 3)")
    add("--precision", type=precision, metavar="5%", help="go on until each decode speed is known this well")
    add("--max-trials", type=positive_int, metavar="N", help="…but take at most N trials (default: 30)")
    add("--min-time", type=seconds, metavar="SECONDS", help="…and decode each method at least this long")
    add("--budget", type=seconds, metavar="SECONDS", help="begin no further round of trials after this time")
    add("--warmup", type=natural_int, metavar="N", help="short warm-up trials per worker (default: 1)")
    add("--threads", type=positive_int, metavar="N", help="threads per worker (default: usable physical cores)")
    add("--temperature", type=temperature, metavar="T", help="0 is greedy with forced length (default)")
    add("--top-k", type=natural_int, metavar="K")
    add("--top-p", type=probability, metavar="P")
    add("--seed", type=natural_int, metavar="S")
    quality = argparse.BooleanOptionalAction
    add("--quality", action=quality, default=True, help="compare predictions with FP32 after the trials (default)")
    add("--eval-file", type=given_path, metavar="F", help="…on this UTF-8 text instead of the shipped one")
    add("--calibration", type=given_path, metavar="F", help="UTF-8 text to calibrate the quantised ONNX methods on")
    ranges = ("min-max", "percentile", "entropy")
    add("--calibration-ranges", choices=ranges, default="min-max", help="how they are picked (default: min-max)")
    add("--timeout", type=seconds, metavar="SECONDS", help="longest a phase of a trial may take")
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


_SESSION_HELP = "file, name or beginning of a name; `last` for the newest"


def percentage(text: str) -> float:
    """Return a share from 0 to 1, given in per cent: `5` or `5%`."""
    return _float_in(text.removesuffix("%"), 0, 100, "percentage") / 100


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a comparison takes."""
    add = parser.add_argument
    help_ = f"{_SESSION_HELP}; the first is the yardstick"
    new_help = "…and of the build to judge, three a side or more"
    add("sessions", nargs="*", type=session_name, metavar="SESSION", help=help_)
    add("--base", nargs="+", default=(), type=session_name, metavar="SESSION", help="instead: of the build before")
    add("--new", nargs="+", default=(), type=session_name, metavar="SESSION", help=new_help)
    add("--baseline", metavar="METHOD", help="the method all are compared with (default: kv-cache)")
    add("--format", choices=("table", "md", "csv", "json", "benchstat"), default="table")
    add("--fail-on-regression", type=percentage, metavar="PCT", help="judge whether a method lost more speed than PCT")
    add("--run-noise", type=percentage, metavar="PCT", help="how much speed varies from session to session, taken as a "
        "standard deviation where one session a side cannot show it (default: 3%%)")  # fmt: skip
    add("--strict", action="store_true", help="fail where the sessions cannot tell, too")


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what an export takes."""
    formats = ("md", "csv", "json", "jsonl", "html", "svg", "png", "benchstat")
    parser.add_argument("session", type=session_name, metavar="SESSION", help=_SESSION_HELP)
    parser.add_argument("--format", choices=formats, required=True)
    parser.add_argument("-o", "--output", type=given_path, metavar="FILE", help="default: standard output")


def run_spec(options: argparse.Namespace) -> RunSpec:
    """Return the run that a command line asks for.

    Raises:
        UsageError: It cannot be run; the message says what would help.
    """
    from tuibench.cli.endpoints import endpoints_of, given_endpoint  # noqa: PLC0415
    from tuibench.core.run.plan import MAX_TURNS  # noqa: PLC0415
    from tuibench.core.run.spec import DEFAULT_PROMPT, RunSpec  # noqa: PLC0415 - not needed for --help
    from tuibench.machine.fingerprint import default_threads  # noqa: PLC0415
    from tuibench.methods import resolve_methods  # noqa: PLC0415
    from tuibench.models.local import DEFAULT_MODEL  # noqa: PLC0415

    if options.retry_failed:
        raise UsageError("--retry-failed goes with --resume SESSION")
    endpoint = given_endpoint(options)
    ladder = (*resolve_methods("ladder"), *([endpoint.method] if endpoint else ()))
    asked: dict[str, Any] = {
        "methods": _with_control(ladder, asked=options.control),
        "prompt": DEFAULT_PROMPT,
        "n_threads": default_threads(),
    } | given_settings(options)
    spec = RunSpec(
        model=options.model or DEFAULT_MODEL,
        eval_text=eval_text(options),
        calibration=calibration(options),
        timeout_s=options.timeout,
        endpoints=endpoints_of(asked["methods"], endpoint),
        **asked,
    )
    if (n_turns := len(spec.methods) * max(spec.n_trials, spec.max_trials)) > MAX_TURNS:
        raise UsageError(f"{n_turns:,} trials are too many: {MAX_TURNS:,} at most, all methods together")
    return spec


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line says about a run's settings, by the names of `RunSpec`; nothing it leaves out.

    Raises:
        UsageError: It cannot be run; the message says what would help.
    """
    from tuibench.cli.endpoints import given_endpoint, named_methods  # noqa: PLC0415
    from tuibench.core.run.spec import Sampling  # noqa: PLC0415

    named = None if options.methods is None else named_methods(options.methods, given_endpoint(options))
    methods = None if named is None else _with_control(named, asked=options.control)
    sampling = _without_none(
        temperature=options.temperature, top_k=options.top_k, top_p=options.top_p, seed=options.seed
    )
    return _without_none(
        methods=methods,
        prompt=_prompt(options),
        raw=options.raw,
        prompt_date=options.prompt_date,
        max_new_tokens=options.max_new_tokens,
        n_trials=options.trials,
        precision=options.precision,
        max_trials=options.max_trials,
        min_time_s=options.min_time,
        budget_s=options.budget,
        n_warmup=options.warmup,
        n_threads=options.threads,
        sampling=Sampling(**sampling) if sampling else None,
        name=options.name,
    )


def _with_control(methods: tuple[str, ...], *, asked: bool) -> tuple[str, ...]:
    """Return the methods, and the one that they are compared with a second time if that is asked for."""
    from tuibench.core.results.comparison import default_baseline  # noqa: PLC0415 - not needed for --help
    from tuibench.core.run.control import control_of  # noqa: PLC0415
    from tuibench.methods import ladder_parents  # noqa: PLC0415

    yardstick = default_baseline(methods, ladder_parents()) if asked else None
    return methods if yardstick is None else (*methods, control_of(yardstick))


def _without_none(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - of any type
    return {name: value for name, value in values.items() if value is not None}


def eval_text(options: argparse.Namespace) -> EvalText | None:
    """Return what quality is measured on; None without quality.

    Raises:
        UsageError: There is no such text.
    """
    from tuibench.measure.run.evaluation_text import EvalFileError, shipped_text, text_from  # noqa: PLC0415

    if not options.quality:
        if options.eval_file is not None:
            raise UsageError("--eval-file names a text for --quality, and --no-quality is given")
        return None
    try:
        return shipped_text() if options.eval_file is None else text_from(options.eval_file)
    except EvalFileError as error:
        raise UsageError(str(error)) from error


def calibration(options: argparse.Namespace) -> Calibration:
    """Return what static quantisation finds its ranges on.

    Raises:
        UsageError: There is no such text.
    """
    from tuibench.core.format import as_text  # noqa: PLC0415
    from tuibench.core.run.spec import Calibration  # noqa: PLC0415

    path = options.calibration
    if path is None:
        return Calibration(ranges=options.calibration_ranges)
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; --calibration wants a UTF-8 text file") from error
    file = str(path.absolute())
    if file != as_text(file):
        raise UsageError(f"{path}: its path is not UTF-8, which a worker cannot be told; rename it")
    return Calibration(file=file, ranges=options.calibration_ranges)


def _prompt(options: argparse.Namespace) -> str | None:
    if options.prompt_file is not None:
        prompt, source = _read_prompt(options.prompt_file), f"the prompt file {options.prompt_file}"
    elif options.prompt is not None:
        prompt, source = options.prompt, "the prompt"
    else:
        return None
    if not prompt.strip():
        raise UsageError(f"{source} is empty: give some text for the model to continue")
    return str(prompt)


def _read_prompt(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_PROMPT_BYTES:
            raise UsageError(f"{path}: larger than {_MAX_PROMPT_BYTES >> 20} MiB, which no model's window holds")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: not UTF-8 text (byte {error.start}); convert it first, for example with `iconv -t utf-8`"
        ) from error
