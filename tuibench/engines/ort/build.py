"""Makes a method's files, in a process of its own: `python -m tuibench.engines.ort.build METHOD MODEL_DIR [OPTIONS]`.

The process that serves tokens stays small: what a quantisation or an export takes of memory is gone with the child.
Progress goes to standard output as JSON lines, everything else to standard error, which is the worker's log.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from tuibench.engines.base import CalibrationError, Progress, UnsupportedModelError
from tuibench.engines.ort.recipes import OPTIONS, Exported, Fused, Gptq, Options, SmoothQuant, Static, recipe_for
from tuibench.models.artifacts import ArtifactError, CachedArtifact, discard_unfinished, make_artifact
from tuibench.models.lean_transformers import import_lean
from tuibench.models.local import ModelError
from tuibench.models.tether import tethered


class _Step(msgspec.Struct, frozen=True, tag="step"):
    label: str
    done: int
    total: int | None


class _Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """Why nothing was made, in the name of the exception that says so best."""

    kind: str
    message: str


_REASONS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (UnsupportedModelError, CalibrationError, ModelError, ArtifactError, MemoryError)
}


def build_in_child(method: str, options: Options, model_dir: Path, progress: Progress) -> None:
    """Make a method's files in a child process; blocks.

    Raises:
        UnsupportedModelError: The method cannot run this model.
        ModelError: The model's files are damaged.
        CalibrationError: The calibration text cannot be used.
        ArtifactError: The files cannot be made; the message says why.
    """
    encoded = msgspec.json.encode(options).decode()
    command = tethered([sys.executable, "-m", "tuibench.engines.ort.build", method, str(model_dir), encoded])
    refusal: _Refusal | None = None
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        try:
            for line in child.stdout:
                match msgspec.json.decode(line, type=_Step | _Refusal):
                    case _Step(label, done, total):
                        progress(label, done, total)
                    case _Refusal() as refusal:
                        pass
        except BaseException:
            child.kill()
            raise
        code = child.wait()
    if refusal is not None:
        raise _REASONS.get(refusal.kind, ArtifactError)(refusal.message)
    if code != 0:
        # Killed, by the kernel for its memory perhaps: it could not clean up after itself.
        discard_unfinished(recipe_for(method, options, model_dir))
        signal = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise ArtifactError(f"making the files of {method} ended with {signal}; the log has the rest")


def build(method: str, options: Options, model_dir: Path, progress: Progress) -> CachedArtifact:
    """Make a method's files in this process, unless they are there."""
    return make_artifact(
        recipe_for(method, options, model_dir),
        model_dir.name,
        lambda staging: _write(options, model_dir, staging, progress),
        needed_bytes=_estimate(options, model_dir),
        on_wait=lambda: progress("another process is making the same files", 0, None),
    )


def _write(options: Options, model_dir: Path, staging: Path, progress: Progress) -> None:
    if isinstance(options, Exported):
        from tuibench.engines.ort.export.exporter import write_plain

        write_plain(options, model_dir, staging, progress)
    elif isinstance(options, Fused):
        from tuibench.engines.ort.graph.assemble import write_fused

        write_fused(model_dir, staging, progress)
    else:
        _write_calibrated(options, model_dir, staging, progress)


def _write_calibrated(options: SmoothQuant | Static | Gptq, model_dir: Path, staging: Path, progress: Progress) -> None:
    """Read the calibration text with the FP32 graph first."""
    fused = build("onnx-fused", OPTIONS["onnx-fused"], model_dir, progress).directory
    n_threads = len(os.sched_getaffinity(0))
    match options:
        case SmoothQuant():
            from tuibench.engines.ort.quantise.smoothquant_int8 import write_smoothquant

            write_smoothquant(options, fused, model_dir, staging, progress, n_threads)
        case Static():
            from tuibench.engines.ort.quantise.static_int8 import write_static

            write_static(options, fused, model_dir, staging, progress, n_threads)
        case Gptq():
            from tuibench.engines.ort.quantise.gptq_int4 import write_gptq

            write_gptq(options, fused, model_dir, staging, progress, n_threads)


def _estimate(options: Options, model_dir: Path) -> int:
    """Return about how many bytes a method writes; checked before the work, so rather too much than too little."""
    from tuibench.engines.decoder.read import read_decoder
    from tuibench.models.folder import open_folder

    decoder = read_decoder(model_dir)
    table = decoder.vocabulary * decoder.hidden
    fp32 = (open_folder(model_dir).parameters + (table if decoder.tied_head else 0)) * 4
    return fp32 if isinstance(options, Exported | Fused) else fp32 // 3 + 4 * table


def main() -> None:
    """Build, and say on standard output how it goes."""
    import_lean()
    events = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: _Step | _Refusal) -> None:
        os.write(events, msgspec.json.encode(message) + b"\n")

    method, model_dir, *rest = sys.argv[1:]
    options = msgspec.json.decode(rest[0], type=Options) if rest else OPTIONS[method]
    try:
        build(method, options, Path(model_dir), lambda label, done, total: send(_Step(label, done, total)))
    except Exception as error:
        kind = type(error).__name__
        text = str(error) if kind in _REASONS else f"{kind}: {error}"
        send(_Refusal(kind, text.strip().partition("\n")[0]))
        raise


if __name__ == "__main__":
    main()
