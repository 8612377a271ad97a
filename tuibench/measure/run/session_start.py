"""The header of a new session, and the name of its file."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import tuibench
from tuibench.core.run.plan import Turn
from tuibench.core.run.shape import Sweep
from tuibench.core.run.spec import EvalText, RunSpec
from tuibench.machine.fingerprint import machine_header
from tuibench.measure.run.commit import running_commit
from tuibench.models.local import LocalModel
from tuibench.store.catalogue import slug
from tuibench.store.redact import redact
from tuibench.store.schema import ModelHeader, SessionHeader, Settings, SweepHeader, version_to_write


def start_header(spec: RunSpec, model: LocalModel, turns: Sequence[Turn]) -> SessionHeader:
    """Return the header of a session that begins now."""
    several = spec.sweep is not None and max(spec.sweep.n_users) > 1
    created = datetime.now(UTC).replace(microsecond=0)
    label = slug(spec.name or model.name) or "session"
    return SessionHeader(
        schema_version=version_to_write(
            endpoints=bool(spec.endpoints), sweep=spec.sweep is not None, hosts=bool(spec.hosts), users=several
        ),
        id=f"{created:%Y%m%d-%H%M%S}-{label}-{secrets.token_hex(2)}",
        name=spec.name,
        created=created,
        tuibench_version=tuibench.__version__,
        tuibench_commit=running_commit(),
        model=ModelHeader(
            name=model.name,
            source=redact(model.source),
            digest=model.digest,
            parameters=model.parameters,
            weight_bytes=model.weight_bytes,
            architecture=model.architecture,
            dtype=model.dtype,
        ),
        machine=machine_header(),
        settings=Settings(
            prompt=spec.prompt,
            prompt_sha256=hashlib.sha256(spec.prompt.encode()).hexdigest(),
            raw=spec.raw,
            prompt_date=spec.prompt_date or datetime.now().astimezone().date(),
            methods=spec.methods,
            max_new_tokens=spec.max_new_tokens,
            n_trials=spec.n_trials,
            precision=spec.precision,
            max_trials=spec.max_trials if spec.precision else None,
            min_time_s=spec.min_time_s or None,
            budget_s=spec.budget_s,
            n_warmup=spec.n_warmup,
            n_threads=spec.n_threads,
            n_threads_of_hosts=next(iter(spec.threads_of_hosts.values()), None),
            order=() if spec.sweep else tuple(turn.method for turn in turns),
            sampling=spec.sampling,
            eval_name=spec.eval_text.name if spec.eval_text else None,
            eval_sha256=eval_sha256(spec),
            calibration_sha256=calibration_sha256(spec),
            calibration_ranges=spec.calibration.ranges,
            endpoints=tuple(endpoint.without_key() for endpoint in spec.endpoints),
            limits=spec.limits,
            staggered=spec.staggered,
            ttft_limit_ns=spec.ttft_limit_ns,
            tpot_limit_ns=spec.tpot_limit_ns,
            sweep=_sweep(spec.sweep, spec.running_text, turns) if spec.sweep else None,
        ),
    )


def _sweep(axes: Sweep, text: EvalText | None, turns: Sequence[Turn]) -> SweepHeader:
    numbers = {shape: number for number, shape in enumerate(axes.shapes())}
    return SweepHeader(
        axes=axes,
        text_name=text.name if text else None,
        text_sha256=text_sha256(text),
        order=tuple(turn.method for turn in turns),
        order_shapes=tuple(numbers[turn.shape] for turn in turns if turn.shape is not None),
    )


def text_sha256(text: EvalText | None) -> str | None:
    """Return the digest of a text; None without one."""
    return hashlib.sha256(text.text.encode()).hexdigest() if text else None


def eval_sha256(spec: RunSpec) -> str | None:
    """Return the digest of the text that quality is measured on; None where it is not measured."""
    return text_sha256(spec.eval_text)


def calibration_sha256(spec: RunSpec) -> str | None:
    """Return the digest of the user's calibration text; None for the one that ships, or a file that is gone."""
    if spec.calibration.file is None:
        return None
    try:
        return hashlib.sha256(Path(spec.calibration.file).read_bytes()).hexdigest()
    except OSError:
        return None  # the methods that need it fail with a row that says so


def session_path(header: SessionHeader, folder: Path) -> Path:
    """Return the file of a session."""
    return folder / f"{header.id}.toml"
