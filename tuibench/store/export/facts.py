"""A stored session as one run of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuibench.core import format as fmt
from tuibench.core.results.by_host import parts_of
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.store.schema import Session

if TYPE_CHECKING:
    from tuibench.core.run.state import HostState


def measured_run(session: Session, label: str | None = None) -> MeasuredRun:
    """Return what was measured, with the facts that may differ from another session's.

    Args:
        session: As loaded.
        label: What tells it from others; by default its name, else its id.
    """
    return MeasuredRun(
        label=label or session.name or session.header.id,
        methods=session.header.settings.methods,
        trials=session.trials,
        quality=session.quality,
        facts=_facts(session),
        machine=session.header.machine,
        n_threads=session.header.settings.n_threads,
        greedy=session.header.settings.sampling.greedy,
        n_asked=session.header.settings.max_new_tokens,
        resumed=tuple(each.resumed for each in session.resumed),
        created=session.header.created,
        prompt=session.header.settings.prompt,
        limits=session.header.settings.limits,
    )


def measured_runs(session: Session, label: str | None = None) -> list[MeasuredRun]:
    """Return what was measured, a run for each machine and each shape of a sweep; see `measured_run`."""
    sweep = session.header.settings.sweep
    return parts_of(measured_run(session, label), _hosts(session), sweep.axes.shapes() if sweep else ())


def _hosts(session: Session) -> dict[str, HostState]:
    if not session.hosts:
        return {}
    from tuibench.core.run.state import HostState  # noqa: PLC0415 - brings along all that happens in a live run

    return {name: HostState(host.machine, host.n_threads, host.price_per_hour) for name, host in session.hosts.items()}


def _facts(session: Session) -> dict[str, str]:
    header, settings = session.header, session.header.settings
    sampling = settings.sampling
    drawn = f"temperature {sampling.temperature:g}, top-k {sampling.top_k}, top-p {sampling.top_p:g}, {sampling.seed=}"
    return {
        "model": header.model.name,
        "digest": header.model.digest[:12],
        "cpu": header.machine.cpu,
        "cpus": str(header.machine.n_cpus_effective),
        "threads": str(settings.n_threads),
        "tokens": str(settings.max_new_tokens),
        "prompt": f"{fmt.shortened(settings.prompt, 24)} ({settings.prompt_sha256[:8]})",
        "sampling": "greedy" if sampling.greedy else drawn.replace("sampling.seed=", "seed "),
        "tuibench": " ".join(filter(None, (header.tuibench_version, header.tuibench_commit))),
    }
