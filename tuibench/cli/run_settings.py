"""What the options of a run mean together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuibench.cli.arguments import UsageError
from tuibench.cli.sweeps import asked_sweep, confirm_size, running_text

if TYPE_CHECKING:
    import argparse

    from tuibench.core.run.spec import Calibration, EvalText, RunSpec

_MAX_PROMPT_BYTES = 4 << 20


def run_spec(options: argparse.Namespace) -> RunSpec:
    """Return the run that a command line asks for.

    Raises:
        UsageError: It cannot be run; the message says what would help.
    """
    from tuibench.cli.endpoints import endpoints_of, given_endpoint  # noqa: PLC0415
    from tuibench.cli.run_hosts import named_hosts, on_all  # noqa: PLC0415
    from tuibench.core.run.plan import MAX_TURNS  # noqa: PLC0415
    from tuibench.core.run.spec import DEFAULT_PROMPT, RunSpec  # noqa: PLC0415 - not needed for --help
    from tuibench.machine.fingerprint import default_threads  # noqa: PLC0415
    from tuibench.methods import resolve_methods  # noqa: PLC0415
    from tuibench.models.local import DEFAULT_MODEL  # noqa: PLC0415

    if options.retry_failed:
        raise UsageError("--retry-failed goes with --resume SESSION")
    hosts = named_hosts(options.on)
    endpoint = given_endpoint(options)
    ladder = (*resolve_methods("ladder"), *([endpoint.method] if endpoint else ()))
    asked: dict[str, Any] = {
        "methods": _with_control(ladder, asked=options.control),
        "prompt": DEFAULT_PROMPT,
        "n_threads": default_threads(),
    } | given_settings(options)
    sweep = asked.get("sweep")
    text = running_text(options) if sweep is not None and sweep.needs_text else None
    if sweep is not None and sweep.prompt_tokens:
        asked["prompt"] = ""
    others = tuple(host for host in hosts if host is not None)
    if sweep is not None and others and not options.threads:
        raise UsageError("a sweep has the same cells on every machine: say with how many --threads")
    asked["methods"] = on_all(asked["methods"], hosts)
    spec = RunSpec(
        model=options.model or DEFAULT_MODEL,
        eval_text=eval_text(options),
        calibration=calibration(options),
        timeout_s=options.timeout,
        endpoints=endpoints_of(asked["methods"], endpoint),
        running_text=text,
        hosts=others,
        threads_of_hosts={host.name: max(options.threads) for host in others if options.threads},
        **asked,
    )
    n_rows = len(spec.methods) * (spec.sweep.n_shapes if spec.sweep else 1)
    if (n_turns := n_rows * max(spec.n_trials, spec.max_trials if spec.precision else 0)) > MAX_TURNS:
        raise UsageError(f"{n_turns:,} trials are too many: {MAX_TURNS:,} at most, all methods together")
    confirm_size(spec)
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
    sweep = asked_sweep(options)
    sampling = _without_none(
        temperature=options.temperature, top_k=options.top_k, top_p=options.top_p, seed=options.seed
    )
    return _without_none(
        methods=methods,
        prompt=_prompt(options),
        raw=options.raw,
        prompt_date=options.prompt_date,
        max_new_tokens=max((sweep.max_new_tokens if sweep else options.max_new_tokens) or (), default=None),
        n_trials=options.trials,
        precision=options.precision,
        max_trials=options.max_trials,
        min_time_s=options.min_time,
        budget_s=options.budget,
        n_warmup=options.warmup,
        n_threads=max((sweep.n_threads if sweep else options.threads) or (), default=None),
        sweep=sweep,
        staggered=options.stagger or None,
        ttft_limit_ns=options.ttft_limit,
        tpot_limit_ns=options.tpot_limit,
        sampling=Sampling(**sampling) if sampling else None,
        name=options.name,
    )


def _with_control(methods: tuple[str, ...], *, asked: bool) -> tuple[str, ...]:
    """Return the methods, and the one that they are compared with a second time if that is asked for."""
    from tuibench.core.results.rungs import default_yardstick  # noqa: PLC0415 - not needed for --help
    from tuibench.core.run.control import control_of  # noqa: PLC0415
    from tuibench.methods import ladder_parents  # noqa: PLC0415

    yardstick = default_yardstick(methods, ladder_parents()) if asked else None
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
        raise UsageError(f"{path}: its path is not UTF-8 and cannot be passed to a worker; rename it")
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
            raise UsageError(f"{path}: larger than {_MAX_PROMPT_BYTES >> 20} MiB, more than any model's window holds")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: not UTF-8 text (byte {error.start}); convert it first, for example with `iconv -t utf-8`"
        ) from error
