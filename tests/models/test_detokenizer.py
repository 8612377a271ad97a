from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.tiny_models import CORPUS, train_byte_level_bpe
from tuibench.models.text.detokenizer import ByteLevelDetokenizer, WindowDetokenizer, incremental_detokenizer

TEXTS = [
    "plain words, then more",
    "emoji 👩‍👩‍👧‍👦 and 🏳️‍🌈 and 🇩🇪",
    "漢字かな交じり文、한국어",
    "a\u0301e\u0301 combining, العربية, \u200f\u202e",
    "  leading and   inner spaces  ",
    "literal \ufffd replacement \ufffd\ufffd\ufffd\ufffd\ufffd\ufffd",
    "",
]
any_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


def byte_level():
    tokenizer = train_byte_level_bpe()
    tokenizer.add_tokens([AddedToken("<tool 🔧>", special=False, normalized=False)])
    return tokenizer


def metaspace_unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",  # noqa: S106 - no password
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz漢字👩"),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_fallback_bpe():
    """Llama 2's way: ▁ for spaces, unknown characters as byte tokens, one leading space stripped."""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    for char in "▁abcdefghijklmnopqrstuvwxyz":
        vocab[char] = len(vocab)
    bpe = models.BPE(vocab=vocab, merges=[], unk_token="<unk>", byte_fallback=True, fuse_unk=True)  # noqa: S106
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


TOKENIZERS = {
    "byte-level": byte_level(),
    "metaspace": metaspace_unigram(),
    "byte-fallback": byte_fallback_bpe(),
}


def streamed(tokenizer, ids):
    detokenizer = incremental_detokenizer(tokenizer)
    return "".join([detokenizer.push(id_) for id_ in ids] + [detokenizer.finish()])


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_joined_equal_whole_decode(kind, text):
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode(text).ids
    assert streamed(tokenizer, ids) == tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=300, deadline=None)
@given(text=any_text)
@example(text=" \ufffd 漢\ufffd")
def test_pieces_of_any_text_equal_whole_decode(kind, text):
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode(text).ids
    assert streamed(tokenizer, ids) == tokenizer.decode(ids, skip_special_tokens=True)


@settings(max_examples=300, deadline=None)
@given(ids=st.lists(st.integers(0, 420), max_size=60))
def test_byte_level_pieces_of_any_ids_equal_whole_decode(ids):
    tokenizer = TOKENIZERS["byte-level"]
    assert streamed(tokenizer, ids) == tokenizer.decode(ids, skip_special_tokens=True)


@settings(max_examples=300, deadline=None)
@given(ids=st.lists(st.integers(3, 285), max_size=60))
def test_window_never_holds_back_more_than_a_character(ids):
    detokenizer = WindowDetokenizer(TOKENIZERS["byte-fallback"])
    silent = 0
    for id_ in ids:
        silent = 0 if detokenizer.push(id_) else silent + 1
        assert silent < 5
    assert len(detokenizer.finish()) <= 4


def test_byte_level_holds_back_at_most_three_bytes_of_endless_garbage():
    tokenizer = TOKENIZERS["byte-level"]
    lead_byte = tokenizer.token_to_id("ð")  # 0xF0 opens a character of four bytes
    detokenizer = incremental_detokenizer(tokenizer)
    pieces = [detokenizer.push(lead_byte) for _ in range(100)]
    assert "".join(pieces) == "\ufffd" * 99
    assert detokenizer.finish() == "\ufffd"


def test_split_emoji_comes_out_with_its_last_byte():
    tokenizer = TOKENIZERS["byte-level"]
    ids = tokenizer.encode("👩").ids
    detokenizer = incremental_detokenizer(tokenizer)
    assert len(ids) == 4
    assert [detokenizer.push(id_) for id_ in ids] == ["", "", "", "👩"]


def test_special_tokens_are_silent_even_inside_a_character():
    tokenizer = TOKENIZERS["byte-level"]
    ids = tokenizer.encode("👩").ids
    ids.insert(2, tokenizer.token_to_id("<|im_end|>"))
    assert streamed(tokenizer, ids) == "👩"


def test_byte_tokenizer_is_read_byte_by_byte():
    assert isinstance(incremental_detokenizer(TOKENIZERS["byte-level"]), ByteLevelDetokenizer)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_cost_per_token_does_not_grow_with_the_text(kind):
    tokenizer = TOKENIZERS[kind]
    detokenizer = incremental_detokenizer(tokenizer)
    for id_ in tokenizer.encode("once upon a time there was a 漢 👩 " * 200).ids:
        detokenizer.push(id_)
        assert len(getattr(detokenizer, "_said", ())) + len(getattr(detokenizer, "_held", ())) <= 8
