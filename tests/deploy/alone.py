"""Runs a folder's script as a machine without tuibench would, and says what transformers answers."""

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

PROMPT = "Once upon a time, the naïve fox"
N_NEW = 40
_SCRIPT = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
_WITHOUT_TUIBENCH = "import sys; sys.modules['tuibench'] = None; "
_FORKING = """
import json, os, runpy
import torch
from transformers import AutoModelForCausalLM, GPT2LMHeadModel, LlamaForCausalLM
for line in sys.stdin:
    words, said, complained = json.loads(line)
    child = os.fork()
    if child == 0:
        for descriptor, path in ((1, said), (2, complained)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
        sys.argv = words
        runpy.run_path(words[0], run_name='__main__')
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@cache
def _with_torch():
    """Return a process without tuibench that forks itself for each run, with PyTorch imported and nothing computed.

    Importing it takes longer than all that a tiny model does.
    """
    command = [sys.executable, "-I", "-X", "utf8", "-c", _WITHOUT_TUIBENCH + _FORKING]
    return subprocess.Popen(command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _run_forked(words):
    with tempfile.TemporaryDirectory() as folder:
        said, complained = Path(folder) / "said", Path(folder) / "complained"
        forking = _with_torch()
        print(json.dumps([words, str(said), str(complained)]), file=forking.stdin, flush=True)
        code = int(forking.stdout.readline())
        return subprocess.CompletedProcess(words, code, said.read_bytes(), complained.read_bytes())


def run_alone(folder, *options, prompt=PROMPT):
    """Return what the process said, as bytes: line ends would be made equal in text.

    Without tuibench, unless the folder says that it needs its kernels.
    """
    words = [str(folder / "generate.py"), prompt, *options]
    if "torch==" in (folder / "requirements.txt").read_text():
        return _run_forked(words)
    needed = "from tuibench" in (folder / "model.py").read_text()
    program = _SCRIPT if needed else _WITHOUT_TUIBENCH + _SCRIPT
    isolated = [] if needed else ["-I"]  # where the package is found by PYTHONPATH
    command = [sys.executable, *isolated, "-X", "utf8", "-c", program, *words]
    return subprocess.run(command, cwd="/", capture_output=True, check=False)


def answered(folder, *options, prompt=PROMPT, n_new=N_NEW):
    """Return the ids of the prompt, those of the answer, and its text as it was streamed."""
    done = run_alone(folder, "--ids", "--max-new-tokens", str(n_new), "--threads", "1", *options, prompt=prompt)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stderr.splitlines()[-1])
    return said["prompt"], said["new"], done.stdout.decode().removesuffix("\n")


def transformers_answer(model_dir, *, raw, prompt=PROMPT, n_new=N_NEW):
    """Return the same of transformers' own `generate()`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    if raw:
        prompt_ids = tokenizer(prompt).input_ids
    else:
        chat = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        prompt_ids = tokenizer(text, add_special_tokens=False).input_ids
    inputs = torch.tensor([prompt_ids])
    found = model.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=n_new)
    new_ids = found[0, len(prompt_ids) :].tolist()
    if new_ids and new_ids[-1] == tokenizer.eos_token_id:
        new_ids.pop()
    return prompt_ids, new_ids, tokenizer.decode(new_ids, skip_special_tokens=True)
