from __future__ import annotations

import datetime
import hashlib
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tuibench.models.text.prompt_reading import missing_words, read_prompt
from tuibench.models.text.tokenizer import PromptTokenizer

PROMPT = "Why is the sky blue, naïve Köln?"


@pytest.fixture
def folder(tiny_llama, tmp_path):
    return shutil.copytree(tiny_llama.directory, tmp_path / "model")


def read(folder, prompt=PROMPT, *, raw=False, today=None):
    return read_prompt(PromptTokenizer(folder), prompt, raw=raw, today=today)


def test_the_digest_is_of_the_text_within_its_template(folder):
    reading = read(folder)
    text = f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    assert reading.text_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert reading.doubt is None
    assert read(folder, raw=True).text_sha256 == hashlib.sha256(PROMPT.encode()).hexdigest()


def test_another_day_is_another_text(folder):
    (folder / "chat_template.jinja").write_text("{{ strftime_now('%d') }} {{ messages[0].content }}")
    days = [datetime.date(2026, 11, 28), datetime.date(2026, 11, 29)]
    assert len({read(folder, today=day).text_sha256 for day in days}) == 2


@pytest.mark.parametrize(
    ("template", "lost"),
    [
        ("<|im_start|>assistant\n", '"why", "is", "the" and 4 more'),
        ("{{ messages[0].content[:16] }}", '"blue", "naive", "koln"'),
        ("{{ messages[0].content | replace('blue', '') }}", '"blue"'),
    ],
)
def test_words_that_a_template_leaves_out_are_named(folder, template, lost):
    (folder / "chat_template.jinja").write_text(template)
    doubt = read(folder).doubt
    assert doubt.startswith(f"the model does not read these words of the prompt: {lost}: ")
    assert "chat template" in doubt
    assert "--raw" in doubt
    assert read(folder, raw=True).doubt is None


def test_words_that_a_tokenizer_has_no_tokens_for_are_named(folder):
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "why": 1, "naive": 2}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()  # lowers, and takes accents off
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    doubt = read(folder, "Why naïve sky", raw=True).doubt
    assert doubt == 'the model does not read these words of the prompt: "sky": its tokenizer has no tokens for them'


@given(st.text())
def test_a_text_has_all_its_own_words_whatever_stands_around(text):
    assert missing_words(text, f"<|user|>\n{text}<|end|>") == []


@given(st.text(alphabet="abcé ßﬁ\u0301\u200d_1"))
def test_no_word_is_missing_in_other_case_without_blanks(text):
    assert missing_words(text, "".join(text.upper().split())) == []
