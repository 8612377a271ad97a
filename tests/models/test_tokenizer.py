from __future__ import annotations

import datetime
import json
import shutil

import pytest
from tokenizers import Tokenizer, processors

from tests.tiny_models import CHAT_TEMPLATE
from tuibench.models.local import ModelError
from tuibench.models.text.tokenizer import PromptError, PromptTokenizer

PROMPTS = ["Why is the sky blue?", "漢字 👩‍👩‍👧‍👦\n\ttabs", "<|im_end|> inside", "", " leading"]


@pytest.fixture
def folder(tiny_llama, tmp_path):
    return shutil.copytree(tiny_llama.directory, tmp_path / "model")


def edit_json(path, **changes):
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | changes))


def reference(directory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(directory)


def assert_equal_to_transformers(directory, prompt):
    ours, theirs = PromptTokenizer(directory), reference(directory)
    assert ours.encode(prompt, raw=True) == theirs(prompt)["input_ids"]
    if theirs.chat_template is not None:
        chat = [{"role": "user", "content": prompt}]
        expected = theirs.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
        assert ours.encode(prompt, raw=False) == expected


@pytest.mark.parametrize("prompt", PROMPTS)
def test_ids_equal_transformers(tiny_llama, prompt):
    assert_equal_to_transformers(tiny_llama.directory, prompt)


@pytest.mark.real_model
@pytest.mark.parametrize("prompt", PROMPTS)
def test_ids_of_real_model_equal_transformers(real_model, prompt):
    assert_equal_to_transformers(real_model.directory, prompt)


def test_model_without_template_takes_prompts_as_they_are(tiny_gpt2):
    tokenizer = PromptTokenizer(tiny_gpt2.directory)
    assert not tokenizer.has_chat_template
    assert tokenizer.encode("hello", raw=False) == tokenizer.encode("hello", raw=True)
    assert tokenizer.decode(tokenizer.encode("hello", raw=False)) == "hello"


def test_bos_of_the_tokenizer_is_added_to_raw_prompts_only(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    assert_equal_to_transformers(folder, "hello")
    assert PromptTokenizer(folder).encode("hello", raw=True)[0] == 0
    assert 0 not in PromptTokenizer(folder).encode("hello", raw=False)


def test_bos_flag_beside_tokenizer_json_changes_nothing_as_in_transformers(folder):
    edit_json(folder / "tokenizer_config.json", add_bos_token=True)
    assert_equal_to_transformers(folder, "hello")


def test_named_templates_use_the_default_one(folder):
    (folder / "chat_template.jinja").unlink()
    templates = [
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "{{ bos_token }}<{{ messages[0]['content'] | tojson }}>"},
    ]
    edit_json(folder / "tokenizer_config.json", chat_template=templates)
    assert_equal_to_transformers(folder, 'say "<hi>"')


def test_template_in_tokenizer_config_is_used(folder):
    (folder / "chat_template.jinja").unlink()
    edit_json(folder / "tokenizer_config.json", chat_template=CHAT_TEMPLATE)
    assert_equal_to_transformers(folder, "hello")


def test_template_features_equal_transformers(folder):
    (folder / "chat_template.jinja").write_text(
        "{%- if tools is not none %}tools{% endif %}\n"
        "{% for m in messages %}\n  {% if loop.index > 1 %}{% break %}{% endif %}\n"
        "  {% generation %}{{ m['content'] }}{% endgeneration %}\n{% endfor %}\n"
        "{{ {'a': 'ü<'} | tojson(indent=2) }}"
        "{{ namespace(x=1).x }}{% if enable_thinking is defined %}thinks{% endif %}"
    )
    assert_equal_to_transformers(folder, "hello")


PARTS_TEMPLATES = {
    "walks-parts": "{% for m in messages %}[{{ m.role }}]{% for part in m.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}[assistant]",
    "first-part": "{{ bos_token }}{{ messages[0]['content'][0]['text'] | trim }}",
    "refuses-strings": "{% if messages[0].content is string %}{{ raise_exception('parts only') }}{% endif %}"
    "{{ messages[0].content | map(attribute='text') | join }}",
}


def test_a_template_that_writes_nothing_is_to_blame_not_the_prompt(folder):
    (folder / "chat_template.jinja").write_text("{# nothing but a comment #}")
    tokenizer = PromptTokenizer(folder)
    with pytest.raises(ModelError, match="chat template writes nothing; use --raw"):
        tokenizer.encode("Hello", raw=False)
    assert tokenizer.encode("Hello", raw=True)


@pytest.mark.parametrize("template", PARTS_TEMPLATES.values(), ids=PARTS_TEMPLATES)
def test_a_template_that_walks_parts_is_given_parts(folder, template):
    (folder / "chat_template.jinja").write_text(template)
    prompt = "Why is the sky blue?"
    chat = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
    expected = reference(folder).apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    ours = PromptTokenizer(folder)
    assert ours.encode(prompt, raw=False) == expected
    assert prompt in ours.decode(expected)


def test_a_template_that_takes_both_is_given_a_string(folder):
    template = "{% if messages[0].content is string %}{{ messages[0].content }}{% else %}parts{% endif %}"
    (folder / "chat_template.jinja").write_text(template)
    assert_equal_to_transformers(folder, "hello")


def test_a_template_is_told_the_day_that_it_is_given_whatever_the_clock_says(folder, monkeypatch):
    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2024, 2, 29, tzinfo=tz)

    (folder / "chat_template.jinja").write_text("{{ strftime_now('%d %b %Y %H:%M %j') }}: {{ messages[0].content }}")
    from transformers.utils import chat_template_utils

    monkeypatch.setattr(chat_template_utils, "datetime", Frozen)
    chat = [{"role": "user", "content": "hello"}]
    expected = reference(folder).apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    ours = PromptTokenizer(folder)
    assert ours.encode("hello", raw=False, today=datetime.date(2024, 2, 29)) == expected
    assert ours.encode("hello", raw=False, today=datetime.date(2024, 3, 1)) != expected


def test_without_a_day_a_template_has_its_own(folder):
    template = "{% if strftime_now is defined %}today{% else %}26 Jul 2024{% endif %} {{ messages[0].content }}"
    (folder / "chat_template.jinja").write_text(template)
    assert PromptTokenizer(folder).rendered("hello", raw=False) == "26 Jul 2024 hello"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no') }}",
        "{{ messages[7]['content'] + 1 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ 1 // 0 }}",
    ],
)
def test_failing_template_is_a_message_that_names_raw(folder, template):
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(ModelError, match="--raw"):
        PromptTokenizer(folder).encode("hello", raw=False)


def test_a_template_that_is_no_text_is_a_message_with_its_file(folder):
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelError, match=r"chat_template\.jinja of model cannot be read"):
        PromptTokenizer(folder)


def test_broken_template_is_a_message_that_names_raw(folder):
    (folder / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(ModelError, match="--raw"):
        PromptTokenizer(folder)


def test_eos_ids_are_gathered_from_all_files(folder):
    edit_json(folder / "generation_config.json", eos_token_id=[7, 9])
    edit_json(folder / "config.json", eos_token_id=5)
    assert PromptTokenizer(folder).eos_ids == {7, 9, 5, 2}


def test_a_token_that_the_model_has_no_row_for_is_named(folder):
    edit_json(folder / "tokenizer_config.json", pad_token="<|pad|>")  # noqa: S106 - no password
    tokenizer = PromptTokenizer(folder)
    n_rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    ids = tokenizer.encode("hello<|pad|>", raw=True)
    assert max(ids) == n_rows
    with pytest.raises(PromptError, match=rf"<\|pad\|>.* {n_rows}, .* only {n_rows} rows"):
        tokenizer.check_embedded(ids)
    tokenizer.check_embedded(tokenizer.encode("hello", raw=True))


@pytest.mark.parametrize("inside", ["text_config", None])
def test_an_end_that_the_model_has_no_row_for_is_none(folder, inside):
    config = json.loads((folder / "config.json").read_text()) | {"eos_token_id": [2, 384]}
    (folder / "config.json").write_text(json.dumps({inside: config} if inside else config))
    assert PromptTokenizer(folder).eos_ids == {2}


def test_numbers_that_standard_json_lacks_are_read_as_transformers_writes_them(folder):
    edit_json(folder / "generation_config.json", eos_token_id=7, temperature=float("inf"))
    edit_json(folder / "tokenizer_config.json", model_max_length=float("nan"))
    assert "Infinity" in (folder / "generation_config.json").read_text()
    assert PromptTokenizer(folder).eos_ids == {7, 2}


def test_vocab_size_counts_added_tokens(folder):
    before = PromptTokenizer(folder).vocab_size
    edit_json(folder / "tokenizer_config.json", pad_token="<|pad|>")  # noqa: S106 - no password
    assert PromptTokenizer(folder).vocab_size == before + 1


def test_damaged_tokenizer_is_a_message(folder):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json of model"):
        PromptTokenizer(folder)


def test_slow_tokenizer_files_are_converted(tiny_gpt2, tmp_path):
    slow = shutil.copytree(tiny_gpt2.directory, tmp_path / "slow")
    Tokenizer.from_file(str(slow / "tokenizer.json")).model.save(str(slow))
    (slow / "tokenizer.json").unlink()
    (slow / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    ids = PromptTokenizer(slow).encode("The quick 漢", raw=True)
    assert PromptTokenizer(slow).decode(ids) == "The quick 漢"
    assert ids == PromptTokenizer(tiny_gpt2.directory).encode("The quick 漢", raw=True)
