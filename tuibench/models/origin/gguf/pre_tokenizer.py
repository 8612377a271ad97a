"""How a byte-level vocabulary's text is split before its merges apply: what `tokenizer.ggml.pre` names.

A GGUF file holds no rules, only the name that llama.cpp has for them. Split otherwise, a text becomes other tokens: all
of them known, and none of them those that the model was trained on. The expressions are those of the tokenizers that
the names stand for (`src/llama-vocab.cpp` of llama.cpp has them by name); each splits what the one before it has left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from tuibench.models.local import ModelError
from tuibench.models.origin.gguf.fields import REMEDY

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from tuibench.models.origin.gguf.header import Value

_BYTE_LEVEL = "gpt2"
"""`tokenizer.ggml.model` of the vocabularies that are split; those of SentencePiece are not."""
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_ONE_DIGIT = r"\p{N}"
_THREE_DIGITS = r"\p{N}{1,3}"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+"
_CASED_UPPER = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
_MARKS_WITH_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_PUNCTUATION = r"[\p{P}\$\+<=>\^~\|]+"


class _Rules(NamedTuple):
    splits: tuple[str, ...]
    """Regular expressions."""
    whole_words: bool = False
    """Whether a word that is in the vocabulary is a token, whatever its merges give."""


def _one_by_one(*kinds: str) -> str:
    return "|".join(kinds)


_LLAMA3 = (_one_by_one(_CONTRACTION, _WORD, _THREE_DIGITS, _MARKS, _SPACES),)
_RULES = {
    "gpt-2": _Rules((_GPT2,)),
    "smollm": _Rules((_ONE_DIGIT, _GPT2)),
    "llama-bpe": _Rules(_LLAMA3, whole_words=True),
    "dbrx": _Rules(_LLAMA3),
    "qwen2": _Rules((_one_by_one(_CONTRACTION, _WORD, _ONE_DIGIT, _MARKS, _SPACES),)),
    "qwen35": _Rules(
        (
            _one_by_one(
                _CONTRACTION,
                r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
                _ONE_DIGIT,
                r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
                _SPACES,
            ),
        )
    ),
    "seed-coder": _Rules((_one_by_one(_CONTRACTION, _WORD, _ONE_DIGIT, r" ?[^\s\p{L}\p{N}\r\n]+", _SPACES),)),
    "tekken": _Rules(
        (_one_by_one(_CASED, _CASED_UPPER, _ONE_DIGIT, _MARKS_WITH_SLASH, _SPACES),),
        whole_words=True,
    ),
    "gpt-4o": _Rules(
        (
            _one_by_one(
                f"{_CASED}{_CONTRACTION}?",
                f"{_CASED_UPPER}{_CONTRACTION}?",
                _THREE_DIGITS,
                _MARKS_WITH_SLASH,
                _SPACES,
            ),
        )
    ),
    "falcon": _Rules((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]")),
    "bloom": _Rules((r" ?[^(\s|.,!?…。，、।۔،)]+",)),
    "default": _Rules((_PUNCTUATION, _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
}
_SAME = {
    "gpt-2": (
        "phi-2",
        "gigachat",
        "a.x-4.0",
        "mellum",
        "mpt",
        "olmo",
        "jais",
        "trillion",
        "granite-docling",
        "granite-docling",
        "exaone4",
    ),
    "smollm": ("starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"),
    "llama-bpe": ("llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano", "glm4"),
    "dbrx": ("smaug-bpe", "chatglm-bpe"),
    "qwen2": ("deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"),
    "gpt-4o": ("llama4", "kanana2", "talkie", "minimax-m2"),
    "bloom": ("poro-chat", "gpt3-finnish"),
}
"""Names of the same rules."""
RULES: Mapping[str, _Rules] = _RULES | {name: _RULES[kind] for kind, names in _SAME.items() for name in names}
"""By the name in the file."""


def split_as_named(tokenizer: Tokenizer, metadata: Mapping[str, Value]) -> None:
    """Have a tokenizer split text as its file says; one without a name is split as llama.cpp does by default.

    Args:
        tokenizer: Made of the file's vocabulary; changed.
        metadata: Of the file.

    Raises:
        ModelError: Nothing is known of what the file names.
    """
    if metadata.get("tokenizer.ggml.model") != _BYTE_LEVEL:
        return
    from tokenizers import Regex, pre_tokenizers

    name = metadata.get("tokenizer.ggml.pre") or "default"
    rules = RULES.get(str(name))
    if rules is None:
        raise ModelError(
            f"its tokenizer splits text as {name!r} (tokenizer.ggml.pre), which is not known here: its text would "
            f"become other tokens than the model's; {REMEDY}"
        )
    splits = [pre_tokenizers.Split(Regex(each), behavior="isolated") for each in rules.splits]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.model.ignore_merges = rules.whole_words
