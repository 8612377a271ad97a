"""Greedy decoding by an engine, as the worker does it."""

from __future__ import annotations

import numpy as np

from tuibench.engines.ort.build import build
from tuibench.engines.ort.recipes import OPTIONS
from tuibench.methods import engine_class

PROMPTS = ([5, 42, 79, 116, 153, 190, 227, 264, 301, 338, 375, 28], [7], list(range(10, 60)))


def opened(method, model_dir, **options):
    engine = engine_class(method)()
    for name, value in options.items():
        setattr(engine, name, value)
    made = engine.prepare(model_dir, lambda *_: None)
    info = engine.load(model_dir, 1, lambda *_: None)
    return engine, info, made


def loaded(method, model_dir):
    """Return an engine and what it tells; graphs and kernels are made here, not ahead in a process of their own."""
    if method in OPTIONS:
        build(method, OPTIONS[method], model_dir, lambda *_: None)
    if not method.startswith("fused"):
        return opened(method, model_dir)[:2]
    engine = engine_class(method)()
    return engine, engine.load(model_dir, 1, lambda *_: None)


def transformers_logits(model_dir, tokens):
    """Return what transformers computes in one pass, without a cache."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    with torch.inference_mode():
        return model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].numpy()


def greedy(engine, prompt, n_tokens):
    """Return the tokens and the logits that they were picked from."""
    logits = [engine.prefill(prompt, len(prompt) + n_tokens).copy()]
    tokens = []
    for _ in range(n_tokens):
        tokens.append(int(logits[-1].argmax()))
        logits.append(engine.decode(tokens[-1]).copy())
    return tokens, np.array(logits)


def forced(engine, tokens):
    """Return the logits after each token of a given text."""
    logits = [engine.prefill(tokens[:1], len(tokens)).copy()]
    logits += [engine.decode(token).copy() for token in tokens[1:]]
    return np.array(logits)


def divergence(reference, other):
    """Return the mean KL divergence of two sets of logits."""

    def log_softmax(logits):
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    expected, found = log_softmax(reference), log_softmax(other)
    return float((np.exp(expected) * (expected - found)).sum(axis=-1).mean())
