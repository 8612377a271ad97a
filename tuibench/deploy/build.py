"""Makes a folder and tries it, in a process of its own: `python -m tuibench.deploy.build REQUEST`, JSON of a request.

Messages go to standard output as JSON lines, everything else to standard error, which is a log.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tuibench.deploy.check import OtherTokensError, answers, check_alone
from tuibench.deploy.contents import licence_files, place, write_json, write_scripts, write_text_side
from tuibench.deploy.messages import Done, Message, Refused, Step, TakeRequest
from tuibench.deploy.methods import SCRIPTS
from tuibench.deploy.readme import Checked, write_readme
from tuibench.engines.base import CalibrationError, UnsupportedModelError
from tuibench.engines.decoder.fits import NotEnoughMemoryError
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.decoder.rope import rope_frequencies, switching_length
from tuibench.engines.ort.graph.info import MODEL_FILE
from tuibench.engines.ort.graph.weights_file import WEIGHTS_FILE
from tuibench.engines.ort.prepared import prepared_artifact
from tuibench.methods import UnusableMethodError
from tuibench.models.artifacts import ArtifactError
from tuibench.models.folder import read_config, weight_files
from tuibench.models.lean_transformers import import_lean
from tuibench.models.local import ModelError
from tuibench.models.text.tokenizer import PromptError, PromptTokenizer
from tuibench.models.text_part import RENAMED, has_text_part, text_settings
from tuibench.worker.load import load_checked
from tuibench.worker.self_check import WrongModelError

_EXPLAINED = (
    ArtifactError,
    CalibrationError,
    ModelError,
    NotEnoughMemoryError,
    OtherTokensError,
    PromptError,
    UnsupportedModelError,
    UnusableMethodError,
    WrongModelError,
)


def build(request: TakeRequest, on_step: Callable[[str], None]) -> None:
    """Fill a folder with a method's files, and see that it does without tuibench what the method does here.

    Raises:
        OtherTokensError: It does not.
        UnsupportedModelError: The method cannot run the model, or not by a script as short as these.
    """
    folder, model_dir, scripts = Path(request.folder), Path(request.model_dir), SCRIPTS[request.method]
    engine, info = load_checked(
        request.method, model_dir, request.n_threads, request.calibration, lambda label, *_: on_step(label)
    )
    tokenizer = PromptTokenizer(model_dir)
    expected = answers(engine, tokenizer, info.context_window)
    on_step("writing the folder")
    graph = "onnxruntime" in scripts.libraries
    more = _place_graph(engine, model_dir, folder) if graph else _place_weights(engine, model_dir, folder)
    write_text_side(folder, tokenizer, request.n_threads, info.context_window, more)
    write_scripts(folder, scripts)
    for path in licence_files(model_dir):
        place(path, folder)
    explanation = engine.method.explanation
    engine.close()
    on_step("running it by itself, and timing it")
    decode_tps = check_alone(folder, expected, request.n_threads, with_tuibench=scripts.needs_tuibench)
    write_readme(folder, request, explanation, scripts, Checked(expected, decode_tps))


def _place_graph(engine: Any, model_dir: Path, folder: Path) -> dict[str, object]:  # noqa: ANN401 - an ONNX engine
    """Place graph and weights; return what the script has to know of them."""
    artifact, _made = prepared_artifact(engine.method.id, engine.options, model_dir, lambda *_: None)
    for name in (MODEL_FILE, WEIGHTS_FILE):
        place(artifact.directory / name, folder)
    decoder = read_decoder(model_dir)
    if switching_length(decoder.rope) is not None:
        raise UnsupportedModelError(
            "beyond a certain length of the text this model rotates all of its keys anew, for which the text has to be "
            "read again; the scripts of a folder do not; baseline can be taken"
        )
    return {
        "rope": {prefix: _angles(rope, decoder.rotated_head_dim(prefix)) for prefix, rope in decoder.rotations.items()}
    }


def _angles(rope: dict[str, Any], head_dim: int) -> dict[str, list[float]]:
    frequencies, factors = rope_frequencies(rope, head_dim)
    return {"frequencies": list(map(float, frequencies)), "factors": list(map(float, factors))}


def _place_weights(engine: Any, model_dir: Path, folder: Path) -> dict[str, object]:  # noqa: ANN401 - an engine that loads the model itself
    """Place the model as it is; return what the script has to know of the method."""
    files = [model_dir / name for name in ("config.json", "generation_config.json", "model.safetensors.index.json")]
    for path in (*files, *weight_files(model_dir, model_dir.name)):
        if path.is_file():
            place(path, folder)
    if SCRIPTS[engine.method.id].needs_tuibench:
        return {"method": engine.method.id}
    return {**_tell_text_part(model_dir, folder), **_cache_call(engine)}


def _tell_text_part(model_dir: Path, folder: Path) -> dict[str, object]:
    """Have a folder's `config.json` tell of the text part alone; return what a script has to know of the weights."""
    whole = read_config(model_dir, model_dir.name)
    if not has_text_part(whole):
        return {}
    (folder / "config.json").unlink()  # it may be another name of the model's own
    write_json(folder / "config.json", text_settings(whole))
    return {"renamed": dict(RENAMED)}


def _cache_call(engine: Any) -> dict[str, object]:  # noqa: ANN401 - an engine that loads the model itself
    if engine.method.id == "baseline":
        return {}
    call = engine.plain_call
    if call is None:
        raise UnsupportedModelError(
            "this model's cache needs more than a call of transformers (frequencies that change with the length, or "
            "states in its modules), which the scripts of a folder do not have; baseline can be taken"
        )
    return {"cache_call": {"own_cache": call.own_cache, "positions": call.positions, "mask": call.mask}}


def _explained(error: Exception) -> str:
    if isinstance(error, _EXPLAINED):
        text = str(error)
    elif isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        text = "no space left for the folder; free some, or name one on another disk with -o"
    elif isinstance(error, MemoryError):
        text = "not enough memory"
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def main() -> None:
    """Build, and say on standard output how it goes."""
    import_lean()
    messages = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: Message) -> None:
        os.write(messages, msgspec.json.encode(message) + b"\n")

    request = msgspec.json.decode(sys.argv[1], type=TakeRequest)
    try:
        build(request, lambda label: send(Step(label)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        traceback.print_exception(error, file=sys.stderr)
        send(Refused(_explained(error)))
        sys.exit(1)
    send(Done())


if __name__ == "__main__":
    main()
