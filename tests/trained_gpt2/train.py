"""Trains the model of this folder: 1.3 million weights on the two chapters of Alice that ship for calibration.

    python -m tests.trained_gpt2.train [FOLDER]

Seeded; some minutes on two cores. The stored weights are BF16 (2.6 MB). Another processor or version of PyTorch sums in
another order and ends with other digits: what tests expect is computed from the files, never written down.
"""

import argparse
import math
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from tests.trained_gpt2 import FOLDER
from tuibench.engines.ort.recipes import CALIBRATION_TEXT

END = "<|endoftext|>"
N_STEPS, N_WARMUP, BATCH, LENGTH = 450, 40, 8, 128
PEAK_RATE = 1e-3
HELD_OUT = 0.1
"""Of the text, at its end: told beside the training loss, never trained on."""


def byte_tokenizer() -> Tokenizer:
    """Return a tokenizer with a token a byte, and one that ends a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate([*alphabet, END])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    return tokenizer


def configuration() -> GPT2Config:
    """Return what the model is made from; tokens are bytes, so that its window is a paragraph."""
    end = 256
    return GPT2Config(
        vocab_size=257,
        n_embd=160,
        n_layer=4,
        n_head=5,
        n_positions=512,
        bos_token_id=end,
        eos_token_id=end,
        resid_pdrop=0.2,
        embd_pdrop=0.2,
        attn_pdrop=0.0,
    )


def rate(step: int) -> float:
    """Return the learning rate as a fraction of its peak: a linear rise, then half a cosine."""
    if step < N_WARMUP:
        return (step + 1) / N_WARMUP
    return 0.05 + 0.95 * (1 + math.cos(math.pi * (step - N_WARMUP) / (N_STEPS - N_WARMUP))) / 2


def train(model: GPT2LMHeadModel, tokens: torch.Tensor, held_out: torch.Tensor) -> None:
    """Train on random cuts of the text; positions are drawn, too, so that all of the window is trained."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    window = model.config.n_positions
    for step in range(N_STEPS):
        starts = torch.randint(len(tokens) - LENGTH, (BATCH,))
        batch = torch.stack([tokens[start : start + LENGTH] for start in starts])
        positions = torch.randint(window - LENGTH + 1, (BATCH, 1)) + torch.arange(LENGTH)
        positions[: BATCH // 4] = torch.arange(LENGTH)
        loss = model.train()(input_ids=batch, position_ids=positions, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 0 or step == N_STEPS - 1:
            print(f"step {step}: {loss.item():.3f} nats a byte, {loss_of(model, held_out):.3f} held out", flush=True)


@torch.no_grad()
def loss_of(model: GPT2LMHeadModel, tokens: torch.Tensor) -> float:
    """Return the mean loss over a text cut into windows."""
    window = model.config.n_positions
    cuts = tokens[: len(tokens) // window * window].reshape(-1, window)
    return float(model.eval()(input_ids=cuts, labels=cuts).loss)


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    folder = parser.parse_args().folder
    torch.manual_seed(0)
    torch.set_num_threads(1)  # so that sums are in the same order wherever it runs
    tokenizer = byte_tokenizer()
    tokens = torch.tensor(tokenizer.encode(CALIBRATION_TEXT.read_text(encoding="utf-8")).ids)
    n_trained = int(len(tokens) * (1 - HELD_OUT))
    model = GPT2LMHeadModel(configuration())
    print(f"{sum(each.numel() for each in model.parameters()):,} weights, {n_trained:,} bytes of text")
    train(model, tokens[:n_trained], tokens[n_trained:])
    model.to(torch.bfloat16).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END).save_pretrained(folder)


if __name__ == "__main__":
    main()
