"""Tiny language models with seeded weights and a tokenizer of their own, saved as folders."""

from __future__ import annotations

from pathlib import Path

CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "Once upon a time there was a little model that ran on a slow processor.",
    "Numbers such as 1, 2, 3 and 3.14159; dates such as 2024-05-06.",
    "Grüße aus Köln, déjà vu, naïve café.",
    "def main():\n    return {'answer': 42}\n",
] * 4
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def train_byte_level_bpe(vocab_size=384):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _save(
    directory: Path, model_class, config, eos_token: str, chat_template: str | None, *, vectors: float = 0.0
) -> Path:
    import torch
    from transformers import PreTrainedTokenizerFast

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config)
        # The usual tiny initial weights give almost equal logits, with which an argmax tests nothing.
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0.0, 0.15)
                elif vectors:  # biases of 0 and norms of 1 would test nothing, either
                    parameter.add_(torch.randn_like(parameter), alpha=vectors)
            for name, buffer in model.named_buffers():
                if name.endswith("layer_scalar"):  # what Gemma 4 multiplies a layer's result by: a weight, not trained
                    buffer.uniform_(0.5, 1.5)
    model.save_pretrained(directory)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=train_byte_level_bpe(), bos_token=SPECIAL_TOKENS[0], eos_token=eos_token
    )
    if chat_template is not None:
        fast.chat_template = chat_template
    fast.save_pretrained(directory)
    return directory


def save_llama(directory: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=384,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=2,
    )
    return _save(directory, LlamaForCausalLM, config, "<|im_end|>", CHAT_TEMPLATE)


def save_gpt2(directory: Path) -> Path:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=384, n_embd=64, n_layer=2, n_head=4, n_positions=256, bos_token_id=0, eos_token_id=0)
    return _save(directory, GPT2LMHeadModel, config, "<|endoftext|>", None)
