"""Loads that people know by name, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Preset(NamedTuple):
    """How long prompt and output of a load are, and how many ask at once."""

    prompt_tokens: int
    max_new_tokens: int
    explanation: str
    n_users: int = 1

    @property
    def words(self) -> str:
        """The numbers."""
        users = f", {self.n_users} users" if self.n_users > 1 else ""
        return f"{self.prompt_tokens} + {self.max_new_tokens} tokens{users}"


PRESETS: Mapping[str, Preset] = {
    "chat": Preset(64, 128, "a short question, one user"),
    "rag": Preset(2048, 128, "a long prompt of retrieved text, a short answer"),
    "code": Preset(1024, 512, "a file to go on from, a long output"),
    "server": Preset(256, 128, "questions with some context, eight users at once", n_users=8),
}
USERS_PROMPT_TOKENS = 64
"""Of each of several users, unless somebody says otherwise."""
