"""Prompts to token ids, and token ids back to text, as transformers does it but without loading it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from tuibench.models.json_object import JsonObjectError, read_json_object
from tuibench.models.local import ModelError
from tuibench.models.text.chat_template import ChatTemplate, find_template
from tuibench.models.text.detokenizer import IncrementalDetokenizer, incremental_detokenizer

_NAMED_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class PromptError(ValueError):
    """The prompt cannot be run; the message says why and what would."""


class TooLongError(PromptError):
    """The prompt leaves no room in the model's window."""


class PromptTokenizer:
    """The tokenizer of one model folder.

    Attributes:
        special_tokens: Those that the model's files name, such as `bos_token`.
        template: None for a model without chat template.
    """

    def __init__(self, directory: Path) -> None:
        """Load the tokenizer.

        Raises:
            ModelError: Its files are missing or damaged.
        """
        config = _read_json(directory / "tokenizer_config.json")
        special_tokens = _special_tokens(config, _read_json(directory / "special_tokens_map.json"))
        model = _read_json(directory / "config.json")
        self._tokenizer = _load(directory)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        _add_missing(self._tokenizer, list(special_tokens.values()) + _extra_special_tokens(config))
        source = find_template(directory, config)
        self.special_tokens = special_tokens
        self.template = ChatTemplate(source, special_tokens) if source is not None else None
        self._n_embedded = _n_embedded(model)
        configs = (_read_json(directory / "generation_config.json"), model)
        self._eos_ids = self._find_eos_ids(configs, special_tokens.get("eos_token"))

    @property
    def eos_ids(self) -> frozenset[int]:
        """Tokens that end a free generation; empty if the model names none."""
        return self._eos_ids

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included; the model's output may be wider, for alignment."""
        n_tokens: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        return n_tokens

    @property
    def has_chat_template(self) -> bool:
        """Whether the model was trained on chats, so that prompts are wrapped unless they are raw."""
        return self.template is not None

    def encode(self, prompt: str, *, raw: bool, today: date | None = None) -> list[int]:
        """Return the prompt's token ids.

        Args:
            prompt: What the user typed.
            raw: Leave the chat template out. A raw prompt, and any prompt of a model without template, gets the
                special tokens the tokenizer adds by itself; a template writes its own.
            today: The day that a chat template tells the model; None leaves it to the template.

        Raises:
            ModelError: The chat template refuses the prompt.
        """
        plain = raw or self.template is None
        text = self.rendered(prompt, raw=raw, today=today)
        return list(self._tokenizer.encode(text, add_special_tokens=plain).ids)

    def encode_with_ends(self, text: str) -> tuple[list[int], list[int], int]:
        """Return the token ids of a raw text, and behind which of its characters each of them ends.

        The number is that of the first ones, such as BOS, with which the tokenizer begins every text.
        """
        encoded = self._tokenizer.encode(text, add_special_tokens=True)
        n_added = sum(1 for _ in takewhile(bool, encoded.special_tokens_mask))
        return list(encoded.ids), [end for _, end in encoded.offsets], n_added

    def encode_chat(self, messages: Iterable[tuple[str, str]], today: date | None = None) -> list[int]:
        """Return the token ids of a whole chat, up to where the assistant begins to speak.

        Args:
            messages: Role and content of each.
            today: The day that the chat template tells the model; None leaves it to the template.

        Raises:
            ModelError: There is no chat template, or it refuses the chat.
        """
        if self.template is None:
            raise ModelError("the model has no chat template: it continues texts, and was not trained on chats")
        text = self.template.render_messages(messages, today)
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def rendered(self, prompt: str, *, raw: bool, today: date | None = None) -> str:
        """Return the text that `encode` makes tokens of; arguments and errors are the same."""
        if raw or self.template is None:
            return prompt
        return self.template.render(prompt, today)

    def check_embedded(self, token_ids: Sequence[int]) -> None:
        """Check that the model has a row of its embedding for each token.

        Raises:
            PromptError: It has not: some engines would read past the table's end.
        """
        beyond = max(token_ids, default=0)
        if self._n_embedded is not None and beyond >= self._n_embedded:
            raise PromptError(
                f"the token {self._tokenizer.id_to_token(beyond)!r} has the id {beyond}, and the model's embedding has "
                f"only {self._n_embedded} rows: its tokenizer is another model's, or was given tokens that the model "
                "was not; use the tokenizer that the model was trained with, or leave the token out of the text"
            )

    def save(self, path: Path) -> None:
        """Write all of it as one `tokenizer.json`, special tokens included that only other files of the model name."""
        self._tokenizer.save(str(path))

    def read_back(self, token_ids: list[int]) -> str:
        """Return the text that token ids stand for, special tokens spelt out."""
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=False)
        return text

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of a whole generation, special tokens left out."""
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=True)
        return text

    def detokenizer(self) -> IncrementalDetokenizer:
        """Return a fresh incremental decoder, for one generation."""
        return incremental_detokenizer(self._tokenizer)

    def _find_eos_ids(self, configs: Iterable[dict[str, Any]], eos_token: str | None) -> frozenset[int]:
        """Return the ids of tokens that the model can write: one that it has no row for never ends its text."""
        found: set[int] = set()
        for config in configs:
            match config.get("eos_token_id"):
                case int(token_id):
                    found.add(token_id)
                case list(token_ids):
                    found.update(token_id for token_id in token_ids if isinstance(token_id, int))
        from_text = self._tokenizer.token_to_id(eos_token) if eos_token is not None else None
        if from_text is not None:
            found.add(from_text)
        return frozenset(token_id for token_id in found if self._n_embedded is None or token_id < self._n_embedded)


def _load(directory: Path) -> Tokenizer:
    path = directory / "tokenizer.json"
    if not path.is_file():
        return _convert_slow(directory)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelError(f"tokenizer.json of {directory.name} cannot be read: {error}; fetch it again") from error


def _convert_slow(directory: Path) -> Tokenizer:
    """Build the fast tokenizer from an older model's files; the only case that needs transformers."""
    from transformers import AutoTokenizer

    try:
        slow = AutoTokenizer.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
        converted: Tokenizer = slow.backend_tokenizer
    except (OSError, ValueError, ImportError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{directory.name} has no tokenizer.json and its other tokenizer files cannot be converted: {reason}; "
            "add the model's tokenizer.json"
        ) from error
    return converted


def _read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object; empty if there is no such file."""
    try:
        return read_json_object(path)
    except FileNotFoundError:
        return {}
    except JsonObjectError as error:
        raise ModelError(f"{path.name} of {path.parent.name} cannot be read: {error}; fetch it again") from error


def _n_embedded(config: dict[str, Any]) -> int | None:
    """Return how many tokens a model has embeddings of; None where its configuration does not say."""
    text_config = config.get("text_config")
    for part in (text_config if isinstance(text_config, dict) else {}, config):
        for name in ("vocab_size", "n_words"):  # XLM's and FlauBERT's name
            if isinstance(size := part.get(name), int) and size > 0:
                return size
    return None


def _token_text(value: object) -> str | None:
    """Return a token that is written as a string or as an object with its flags."""
    match value:
        case str(text) | {"content": str(text)}:
            return text
    return None


def _special_tokens(*configs: dict[str, Any]) -> dict[str, str]:
    """Return the named special tokens; earlier files win."""
    found: dict[str, str] = {}
    for config in configs:
        for name in _NAMED_SPECIAL_TOKENS:
            text = _token_text(config.get(name))
            if text is not None:
                found.setdefault(name, text)
    return found


def _extra_special_tokens(config: dict[str, Any]) -> list[str]:
    texts: list[str] = []
    for name in ("extra_special_tokens", "additional_special_tokens"):
        value = config.get(name)
        entries = value.values() if isinstance(value, dict) else value or []
        texts.extend(text for entry in entries if (text := _token_text(entry)) is not None)
    return texts


def _add_missing(tokenizer: Tokenizer, tokens: list[str]) -> None:
    """Make tokens special that only `tokenizer_config.json` calls so; others keep the flags they have."""
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    missing = [token for token in dict.fromkeys(tokens) if token not in known]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in missing])
