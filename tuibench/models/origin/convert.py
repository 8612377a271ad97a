"""GGUF to safetensors, in a process of its own: `python -m tuibench.models.origin.convert GGUF OUT`.

PullProgress goes to standard output as JSON lines, everything else to standard error. The weights come out as FP32.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tuibench.models.lean_transformers import import_lean
from tuibench.models.local import ModelError
from tuibench.models.origin.gguf.description import Description, read_description
from tuibench.models.origin.gguf.fields import REMEDY
from tuibench.models.origin.gguf.header import read_header
from tuibench.models.origin.gguf.pre_tokenizer import split_as_named
from tuibench.models.origin.pull_events import OnProgress, PullFailed, PullProgress, decode, encode
from tuibench.models.tether import tethered

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

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
    read_header(gguf)
    command = tethered([sys.executable, "-m", "tuibench.models.origin.convert", str(gguf), str(out)])
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
    if isinstance(event, PullFailed):
        raise ModelError(f"it cannot be converted: {event.message}")
    if isinstance(event, PullProgress):
        on_progress(event)


def _reason(log: bytes, return_code: int) -> str:
    if return_code < 0:
        return f"the conversion was killed by signal {-return_code} (9 is often: not enough memory)"
    lines = [line.strip() for line in log.decode(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-_LOG_TAIL_LINES:]) or f"the conversion ended with status {return_code}"


def main() -> None:
    """Convert; of an exception other than `ModelError`, the last lines are the reason that the parent shows."""
    import_lean()
    gguf, out = Path(sys.argv[1]), Path(sys.argv[2])
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def report(progress: PullProgress) -> None:
        events.write(encode(progress))

    sys.tracebacklimit = 0
    try:
        _convert(gguf, out, report)
    except ModelError as error:
        events.write(encode(PullFailed(str(error))))
        sys.exit(1)


def _convert(gguf: Path, out: Path, report: OnProgress) -> None:
    report(PullProgress("reading the GGUF file", 0, None, "steps"))
    description = read_description(gguf)
    tokenizer = described_tokenizer(gguf)
    model = described_model(description, report)
    report(PullProgress("saving", 0, None, "steps"))
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    del model
    report(PullProgress("checking", 0, None, "steps"))
    _check(out)


def described_tokenizer(gguf: Path) -> PreTrainedTokenizerFast:
    """Return a file's tokenizer, which splits text as the file says.

    Raises:
        ModelError: Nothing is known of how it is to be split.
    """
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(gguf.parent), gguf_file=gguf.name, trust_remote_code=False)
    split_as_named(tokenizer.backend_tokenizer, read_header(gguf).metadata)
    return tokenizer


def described_model(description: Description, report: OnProgress) -> PreTrainedModel:
    """Return a transformers model with a file's weights, all of them and no others.

    Raises:
        ModelError: transformers takes no such settings, or a weight is missing, has no place or another size.
    """
    import numpy as np
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.for_model(**description.config)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    except (StrictDataclassError, ArithmeticError, KeyError, TypeError, ValueError) as error:
        reason = str(error).rpartition("Error: ")[2].strip(" .\n")
        raise ModelError(f"its metadata are not those of a {description.name!r}: {reason}; {REMEDY}") from error
    twins = model.all_tied_weights_keys
    expected = {name: tuple(t.shape) for name, t in model.state_dict().items() if name not in twins}
    description.check_complete(expected)
    state: dict[str, torch.Tensor] = {}
    for name, values in description.parameters(expected):
        report(PullProgress("unpacking the weights", len(state), len(expected), "tensors"))
        state[name] = torch.from_numpy(np.array(values, order="C"))
    report(PullProgress("unpacking the weights", len(state), len(expected), "tensors"))
    state |= {twin: state[original] for twin, original in twins.items()}
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    return model


def _check(out: Path) -> None:
    """Load what was saved, with nothing missing and nothing left over, and compute with it once."""
    import torch
    from transformers import AutoModelForCausalLM

    from tuibench.models.text.tokenizer import PromptTokenizer

    tokenizer = PromptTokenizer(out)
    model, loading = AutoModelForCausalLM.from_pretrained(
        out, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
    )
    for trouble in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loading[trouble]:
            raise ModelError(f"the converted model does not load: {trouble} {min(loading[trouble])}; {REMEDY}")
    ids = tokenizer.encode("Hello, world", raw=False)
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits
    ruled_out = torch.isneginf(logits)  # as the tokens of a padded vocabulary are
    numbers = bool((torch.isfinite(logits) | ruled_out).all()) and not bool(ruled_out.all(dim=-1).any())
    if max(ids) >= logits.shape[-1] or not numbers:
        raise ModelError("the converted model does not compute; the file is damaged or of an unknown kind")


if __name__ == "__main__":
    main()
