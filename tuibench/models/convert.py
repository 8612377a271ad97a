"""GGUF to safetensors, in a process of its own: `python -m tuibench.models.convert GGUF OUT`.

Progress goes to standard output as JSON lines, everything else to standard error. The weights come out as FP32.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tuibench.models.gguf_header import check_header
from tuibench.models.local import ModelError
from tuibench.models.pull_events import OnProgress, Progress, decode, encode
from tuibench.models.tether import tethered

_LOG_TAIL_LINES = 5


def convert_gguf(gguf: Path, out: Path, on_progress: OnProgress) -> None:
    """Convert a GGUF file in a child process; blocks.

    Args:
        gguf: The file.
        out: An empty folder.
        on_progress: Called while it runs.

    Raises:
        ModelError: The file cannot be converted; the message ends with what the child said last.
    """
    check_header(gguf)
    command = tethered([sys.executable, "-m", "tuibench.models.convert", str(gguf), str(out)])
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log) as child,
    ):
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        try:
            for line in child.stdout:
                _relay(line, on_progress)
        except BaseException:
            child.kill()
            raise
        if child.wait() != 0:
            log.seek(0)
            raise ModelError(f"it cannot be converted: {_reason(log.read(), child.returncode)}")


def _relay(line: bytes, on_progress: OnProgress) -> None:
    event = decode(line)
    if isinstance(event, Progress):
        on_progress(event)


def _reason(log: bytes, return_code: int) -> str:
    if return_code < 0:
        return f"the conversion was killed by signal {-return_code} (9 is often: not enough memory)"
    lines = [line.strip() for line in log.decode(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-_LOG_TAIL_LINES:]) or f"the conversion ended with status {return_code}"


def main() -> None:
    """Convert; any exception's last line is the reason that the parent shows."""
    gguf, out = Path(sys.argv[1]), Path(sys.argv[2])
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def report(progress: Progress) -> None:
        events.write(encode(progress))

    sys.tracebacklimit = 0
    _convert(gguf, out, report)


def _convert(gguf: Path, out: Path, report: OnProgress) -> None:
    report(Progress("reading the GGUF file", 0, None, "steps"))
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _share_what_is_slow()
    _report_tensors(report)
    folder, file = str(gguf.parent), gguf.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file, trust_remote_code=False)
    loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32, trust_remote_code=False)
    report(Progress("saving", 0, None, "steps"))
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # `save_pretrained` refuses a model that came from a GGUF file, so a fresh one takes over its weights.
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    model.load_state_dict(loaded.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = loaded.generation_config
    del loaded
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    _forget_paths(out / "config.json")
    report(Progress("checking", 0, None, "steps"))
    _check(out)


def _share_what_is_slow() -> None:
    """Halve the time: the loader reads the whole token list three times, and makes its name table for every module."""
    import gguf

    gguf.GGUFReader = functools.cache(gguf.GGUFReader)
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)


def _report_tensors(report: OnProgress) -> None:
    """Hear of every tensor: the loader counts them with a `tqdm` of its module. Without that, only steps are told."""
    from transformers import modeling_gguf_pytorch_utils as loader

    def counted(tensors: Iterable[Any], **_: object) -> Iterator[Any]:
        items = list(tensors)
        for done, tensor in enumerate(items):
            report(Progress("unpacking the weights", done, len(items), "tensors"))
            yield tensor
        report(Progress("unpacking the weights", len(items), len(items), "tensors"))

    if hasattr(loader, "tqdm"):
        loader.tqdm = counted


def _forget_paths(config_path: Path) -> None:
    config = json.loads(config_path.read_bytes())
    config.pop("_name_or_path", None)
    config.pop("_model_name_or_path", None)
    config_path.write_bytes(msgspec.json.format(json.dumps(config, sort_keys=True).encode()))


def _check(out: Path) -> None:
    """Load what was saved and compute with it once."""
    import torch
    from transformers import AutoModelForCausalLM

    from tuibench.models.tokenizer import PromptTokenizer

    tokenizer = PromptTokenizer(out)
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, trust_remote_code=False)
    ids = tokenizer.encode("Hello, world", raw=False)
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits
    if max(ids) >= logits.shape[-1] or not bool(torch.isfinite(logits).all()):
        raise ModelError("the converted model does not compute; the file is damaged or of an unknown kind")


if __name__ == "__main__":
    main()
