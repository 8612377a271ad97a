"""A method, loaded and held to what it promises, outside of a measurement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tuibench.engines.base import CalibratedEngine, EngineInfo, Progress
from tuibench.engines.decoder.fits import check_fits
from tuibench.methods import engine_class
from tuibench.worker.self_check import SelfCheck

if TYPE_CHECKING:
    from tuibench.core.run.spec import Calibration
    from tuibench.engines.base import Engine


def load_checked(
    method: str, model_dir: Path, n_threads: int, calibration: Calibration, progress: Progress
) -> tuple[Engine, EngineInfo]:
    """Return a method, ready to answer.

    Raises:
        UnsupportedModelError: It cannot run this model.
        WrongModelError: It computes something else than the model.
        NotEnoughMemoryError: It takes more memory than is free.
    """
    engine = engine_class(method)()
    if isinstance(engine, CalibratedEngine):
        engine.calibrate_on(calibration)
    check = SelfCheck(engine, model_dir)
    check_fits(method, model_dir)
    engine.prepare(model_dir, progress)
    check.prepare(progress)
    info = engine.load(model_dir, n_threads, progress)
    check.run()
    return engine, info
