"""Runs a folder's script as a machine without tuibench would, and says what transformers answers."""

import json
import subprocess
import sys

PROMPT = "Once upon a time, the naïve fox"
N_NEW = 40
_SCRIPT = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
_WITHOUT_TUIBENCH = "import sys; sys.modules['tuibench'] = None; "


def run_alone(folder, *options, prompt=PROMPT, cwd="/"):
    """Return what the process said, as bytes: line ends would be made equal in text.

    Without tuibench, unless the folder says that it needs its kernels.
    """
    needed = "from tuibench" in (folder / "model.py").read_text()
    program = _SCRIPT if needed else _WITHOUT_TUIBENCH + _SCRIPT
    isolated = [] if needed else ["-I"]  # where the package is found by PYTHONPATH
    command = [sys.executable, *isolated, "-X", "utf8", "-c", program, str(folder / "generate.py"), prompt]
    return subprocess.run([*command, *options], cwd=cwd, capture_output=True, check=False)


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
