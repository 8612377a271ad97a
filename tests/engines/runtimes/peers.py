"""What tests of others' runtimes share: a model of theirs against transformers' own pass."""

from __future__ import annotations

import numpy as np
import torch

from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.first_steps import FirstSteps, first_tokens
from tuibench.worker.first_steps import keep_first_steps

TOKENS = (5, 17, 200, 33, 44, 8, 9, 100, 3, 7, 77, 150)
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}


def log_probabilities(model_dir, token_ids=TOKENS):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    with torch.inference_mode():
        return torch.log_softmax(model(torch.tensor([token_ids])).logits[0].double(), -1).numpy()


def loaded(engine_class, model_dir):
    engine = engine_class()
    engine.prepare(model_dir, lambda *_: None)
    return engine, engine.load(model_dir, 1, lambda *_: None)


def divergence(expected, rows):
    found = torch.log_softmax(torch.from_numpy(np.array(rows)).double(), -1).numpy()
    return float((np.exp(expected) * (expected - found)).sum(axis=1).max())


def decoded(engine, n_prompt):
    rows = [np.array(engine.prefill(TOKENS[:n_prompt], len(TOKENS)))]
    return rows + [np.array(engine.decode(token_id)) for token_id in TOKENS[n_prompt:]]


def keep_reference(model_dir):
    """Keep what transformers predicts of the tokens that a method is checked on when it is loaded."""
    token_ids = first_tokens(read_decoder(model_dir).vocabulary, {})
    keep_first_steps(model_dir, FirstSteps(token_ids, log_probabilities(model_dir, token_ids).astype(np.float32)))


def changed_llama(directory, changes):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 384, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
    model = LlamaForCausalLM(LlamaConfig(**sizes, **heads, **{"tie_word_embeddings": True, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.15)
    model.save_pretrained(directory)
    return directory
