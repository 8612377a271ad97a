"""Prompts of a given length are parts of a text."""

import pytest

from tuibench.models.text.running_text import cut
from tuibench.models.text.tokenizer import PromptError, PromptTokenizer

TEXT = "The quick brown fox jumps over the lazy dog. Grüße aus Köln, déjà vu."


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return PromptTokenizer(tiny_llama.directory)


@pytest.mark.parametrize(("start", "n_tokens"), [(0, 1), (0, 5), (3, 7), (0, 500), (400, 300)])
def test_a_part_has_its_length_and_is_what_the_tokens_say(tokenizer, start, n_tokens):
    part = cut(tokenizer, TEXT, start, n_tokens)
    assert len(part.token_ids) == n_tokens
    running = f"{TEXT}\n\n" * 40
    whole = tokenizer.encode(running, raw=True)
    assert list(part.token_ids) == whole[start : start + n_tokens]
    assert part.text in running
    assert part.text == tokenizer.decode(list(part.token_ids)) or "�" in tokenizer.decode(list(part.token_ids))


def test_parts_that_follow_each_other_are_one_text(tokenizer):
    before, after = cut(tokenizer, TEXT, 0, 9), cut(tokenizer, TEXT, 9, 6)
    assert before.text + after.text == cut(tokenizer, TEXT, 0, 15).text


def test_what_is_skipped_is_left_to_others(tokenizer):
    assert cut(tokenizer, TEXT, 4, 6, skipped=9) == cut(tokenizer, TEXT, 13, 6)


def test_a_text_without_tokens_is_refused(tokenizer):
    with pytest.raises(PromptError, match="no tokens"):
        cut(tokenizer, "  ", 0, 3)
