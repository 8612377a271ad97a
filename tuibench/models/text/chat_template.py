"""Chat templates, filled in as transformers does it, without transformers.

Templates come with the model, so they are untrusted code: they run in Jinja's immutable sandbox and see plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tuibench.models.local import ModelError

_NEEDLE = "⁂?⁂"
"""A prompt that no template brings along by itself, and none changes by case or blanks."""


class ChatTemplate:
    """A model's chat template.

    Attributes:
        source: Jinja source.
        wants_parts: Whether it reads the content of a message as a list of parts, and finds nothing in a string.
    """

    def __init__(self, template: str, special_tokens: Mapping[str, str]) -> None:
        """Compile a template.

        Args:
            template: Jinja source.
            special_tokens: What templates may refer to, such as `bos_token`.

        Raises:
            ModelError: The template does not compile.
        """
        self.source = template
        self._special_tokens = dict(special_tokens)
        try:
            self._compiled = _environment().from_string(template)
        except jinja2.TemplateError as error:
            raise ModelError(f"the model's chat template is broken ({error}); use --raw to go without it") from error
        self.wants_parts = not self._shows(_NEEDLE) and self._shows(_parts(_NEEDLE))

    def render(self, prompt: str, today: date | None = None) -> str:
        """Return a prompt as a chat of one user message, up to where the assistant begins to speak.

        Args:
            prompt: What the user says.
            today: What `strftime_now` tells, at midnight. Without it there is no such function: templates that ask
                whether there is have a date of their own.

        Raises:
            ModelError: The template refuses such a chat, or writes nothing.
        """
        return self.render_messages([("user", prompt)], today)

    def render_messages(self, messages: Iterable[tuple[str, str]], today: date | None = None) -> str:
        """Return a whole chat up to where the assistant begins to speak; arguments and errors are those of `render`.

        Args:
            messages: Role and content of each.
            today: As in `render`.
        """
        said = [
            {"role": role, "content": _parts(content) if self.wants_parts else content} for role, content in messages
        ]
        text = self._render(said, today)
        if not text:
            raise ModelError("the model's chat template writes nothing; use --raw to go without it")
        return text

    def _shows(self, content: str | list[dict[str, str]]) -> bool:
        """Return whether the needle is read of this content: llama.cpp asks templates so which form they take.

        A template that walks parts finds none in a string; one that expects a string fails on parts, or prints them as
        the list that they are.
        """
        try:
            text = self._render([{"role": "user", "content": content}], date(2000, 1, 1))
        except ModelError:
            return False
        return _NEEDLE in text and str(_parts(_NEEDLE)) not in text

    def _render(self, messages: list[dict[str, Any]], today: date | None) -> str:
        clock = {} if today is None else {"strftime_now": datetime.combine(today, time()).strftime}
        try:
            return self._compiled.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **clock,
                **self._special_tokens,
            )
        # Templates are programs of strangers: besides Jinja's own errors they raise what any expression can.
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
            raise ModelError(f"the model's chat template failed ({error}); use --raw to go without it") from error


def find_template(directory: Path, tokenizer_config: Mapping[str, Any]) -> str | None:
    """Return the source of a model's chat template; None if it has none, as base models do.

    A `chat_template.jinja` wins over the tokenizer configuration, which holds one template or a list of named ones.

    Raises:
        ModelError: It cannot be read.
    """
    file = directory / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{file.name} of {directory.name} cannot be read: {error}; fetch it again") from error
    match tokenizer_config.get("chat_template"):
        case str(template):
            return template
        case list(named):
            templates = {entry.get("name"): entry.get("template") for entry in named if isinstance(entry, dict)}
            default = templates.get("default")
            return default if isinstance(default, str) else None
    return None


def _parts(text: str) -> list[dict[str, str]]:
    """Return content in the form of models that also take pictures."""
    return [{"type": "text", "text": text}]


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    return environment


class _GenerationBlock(Extension):
    """`{% generation %}` marks what an assistant said; for a prompt it is only a bracket."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter would escape HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
