"""Answers a prompt with the model in this folder, token by token: `python generate.py "Why is the sky blue?"`."""

import argparse
import json
import sys
from datetime import datetime, time
from pathlib import Path

from tokenizers import Tokenizer

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))  # where `python -I` does not look
from model import Model  # noqa: E402

SETTINGS = json.loads((FOLDER / "settings.json").read_text(encoding="utf-8"))


def as_chat(prompt):
    """Return the prompt as the model's chat template puts it."""
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, **{"ensure_ascii": False} | options)
    today = datetime.combine(datetime.now().astimezone(), time())
    environment.globals.update(raise_exception=sys.exit, strftime_now=today.strftime)
    content = [{"type": "text", "text": prompt}] if SETTINGS["content_in_parts"] else prompt
    chat = {"messages": [{"role": "user", "content": content}], "tools": None, "documents": None}
    template = environment.from_string((FOLDER / "chat_template.jinja").read_text(encoding="utf-8"))
    return template.render(chat | SETTINGS["special_tokens"], add_generation_prompt=True)


def greedy(model, prompt_ids, n_most):
    """Yield the most likely tokens, until the model ends its answer."""
    logits = model.prefill(prompt_ids, len(prompt_ids) + n_most)
    while (token_id := int(logits.argmax())) not in SETTINGS["eos_ids"]:
        yield token_id
        n_most -= 1
        if n_most == 0:
            return
        logits = model.decode(token_id)


def pieces(tokenizer, token_ids, ids):
    """Yield the text of tokens as soon as its characters are whole; `ids` takes the tokens."""
    start = end = 0  # from `start` what was said last, from `end` what is held back
    for token_id in token_ids:
        ids.append(token_id)
        said, text = tokenizer.decode(ids[start:end]), tokenizer.decode(ids[start:])
        if len(text) > len(said) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
            yield text[len(said) :]
            start, end = end, len(ids)
    yield tokenizer.decode(ids[start:])[len(tokenizer.decode(ids[start:end])) :]


def main():
    parser = argparse.ArgumentParser(description="Answer a prompt with the model in this folder.")
    parser.add_argument("prompt")
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N", help="default: 128")
    parser.add_argument("--threads", type=int, default=SETTINGS["threads"], metavar="N", help="default: %(default)s")
    parser.add_argument("--raw", action="store_true", help="leave the chat template out")
    parser.add_argument("--ids", action="store_true", help="tell the ids of all tokens on standard error")
    options = parser.parse_args()
    in_chat = (FOLDER / "chat_template.jinja").exists() and not options.raw
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    prompt = as_chat(options.prompt) if in_chat else options.prompt
    prompt_ids, new_ids = tokenizer.encode(prompt, add_special_tokens=not in_chat).ids, []
    n_most = min(options.max_new_tokens, (SETTINGS["context_window"] or sys.maxsize) - len(prompt_ids))
    if not prompt_ids or n_most < 1:
        sys.exit(f"the prompt has {len(prompt_ids)} tokens: one at least is needed, and room in the model's window")
    sys.stdout.reconfigure(errors="replace")
    for piece in pieces(tokenizer, greedy(Model(FOLDER, SETTINGS, options.threads), prompt_ids, n_most), new_ids):
        print(piece, end="", flush=True)
    print()
    if options.ids:
        print(json.dumps({"prompt": prompt_ids, "new": new_ids}), file=sys.stderr)


if __name__ == "__main__":
    main()
