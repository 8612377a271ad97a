"""What a detached run is to measure, as it is written down for the process that does."""

from __future__ import annotations

import msgspec

from tuibench.core.run.spec import RunSpec


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One run; every text that it needs is in it, so that it can be brought to another machine."""

    spec: RunSpec
    host: str | None = None
    """What whoever ordered it calls the machine; None for its own."""
    model_digest: str
    """Of the weights, by which the model is found where it is measured."""
    n_threads: int | None = None
    """Threads per worker; None: as many as suit the machine."""
    calibration_text: str | None = None
    """What the user calibrates on; None takes the text that ships."""
    resume: str | None = None
    """The session file that it goes on with."""
    retry_failed: bool = False


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """One run for Slurm's queue."""

    order: Order
    step_options: tuple[str, ...]
    """What srun would be given."""
