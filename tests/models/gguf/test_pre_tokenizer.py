"""Tokens of a GGUF file's text: ours against llama.cpp's, on a vocabulary where every wrong split shows."""

from __future__ import annotations

import ctypes
import json

import gguf
import pytest

from tuibench.engines.runtimes.llama_cpp.library import load_library
from tuibench.models.local import ModelError
from tuibench.models.origin.convert import described_tokenizer
from tuibench.models.origin.gguf.pre_tokenizer import RULES

TEXT = (
    "In 2024 it's 1234567 they'll say, WE'VE 3.14159 of (12) it'd cost $99,95!?\r\n\r\n"
    "  déjà  vu\t\t...naïve—“quotes” don't I'M isn'T\n\n\n   你好，世界！これは12个テスト。 한국어 42 ١٢٣\n"
    "def f(x): return x**2 != 10 // 3 # a/b/\n CamelCase XMLHttp  end  "
)
MARKS = " हिन्दी नमस्ते।"
"""Letters that carry others. llama.cpp's expressions for words in capitals leave marks out, which the tokenizers that
they stand for do not: what is converted here goes with those."""
OF_CASES = {"tekken", "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}
WORD = "ĠCamelCase"
"""In the vocabulary, and not what merges lead to."""


def vocabulary():
    """Return tokens and merges of a BPE that was trained without any splitting: it joins whatever stands together."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1200, min_frequency=1, max_token_length=5, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([(TEXT + MARKS)[i : i + 40] for i in range(0, len(TEXT), 7)], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return ["<s>", *sorted(model["vocab"], key=model["vocab"].get), WORD], [" ".join(pair) for pair in model["merges"]]


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    folder, (tokens, merges) = tmp_path_factory.mktemp("vocabularies"), vocabulary()

    def written(pre):
        path = folder / f"{pre}.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_tokenizer_model("gpt2")
        if pre is not None:
            writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types([3, *[1] * (len(tokens) - 1)])
        writer.add_token_merges(merges)
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(0)
        writer.add_add_bos_token(False)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        return path

    return written


def tokens_of_llama_cpp(path, said=TEXT):
    library = load_library()
    functions = library.functions
    tokenize = functions.llama_tokenize
    tokenize.restype = ctypes.c_int32
    flags = [ctypes.c_bool, ctypes.c_bool]
    number, numbers = ctypes.c_int32, ctypes.POINTER(ctypes.c_int32)
    tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, number, numbers, number, *flags]
    parameters = functions.llama_model_default_params()
    parameters.vocab_only = True
    model, log = library.listened(lambda: functions.llama_model_load_from_file(str(path).encode(), parameters))
    assert model, log
    text, room = said.encode(), (ctypes.c_int32 * 2000)()
    n_tokens = tokenize(functions.llama_model_get_vocab(model), text, len(text), room, len(room), False, False)
    functions.llama_model_free(model)
    return list(room[:n_tokens])


@pytest.mark.parametrize("pre", [None, *sorted(RULES)])
def test_text_becomes_the_tokens_that_llama_cpp_makes_of_it(pre, write):
    path, said = write(pre), TEXT if pre in OF_CASES else TEXT + MARKS
    expected = tokens_of_llama_cpp(path, said)
    assert described_tokenizer(path).encode(said, add_special_tokens=False) == expected


def test_rules_differ_on_this_text(write):
    kinds = ("default", "gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "tekken", "gpt-4o", "falcon", "bloom")
    assert len({tuple(tokens_of_llama_cpp(write(kind))) for kind in kinds}) == len(kinds)


def test_what_is_not_known_is_refused(write):
    with pytest.raises(ModelError, match=r"splits text as 'of-tomorrow' \(tokenizer.ggml.pre\).*safetensors folder"):
        described_tokenizer(write("of-tomorrow"))
