"""Token ids to text as they come, right at every token border.

A character may be spread over several tokens (an emoji over four), and how a token reads may depend on its neighbours
(a leading space). `tokenizers.decoders.DecodeStream` is not used: it cannot be asked for what it still holds back, it
raises on some invalid input, and holds everything back while invalid bytes go on.
"""

from __future__ import annotations

import codecs
import re
from typing import Protocol

from tokenizers import Tokenizer, decoders

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class IncrementalDetokenizer(Protocol):
    """Decodes one generation; all pieces and the rest together are the text of all tokens, special ones left out."""

    def push(self, token_id: int) -> str:
        """Return the text that the token completed, possibly none."""

    def finish(self) -> str:
        """Return what was held back, with U+FFFD where bytes never became a character."""


def incremental_detokenizer(tokenizer: Tokenizer) -> IncrementalDetokenizer:
    """Return a fresh decoder for a tokenizer: byte by byte where tokens are bytes, else by re-reading a window."""
    if isinstance(tokenizer.decoder, decoders.ByteLevel):
        return ByteLevelDetokenizer(tokenizer)
    return WindowDetokenizer(tokenizer)


class ByteLevelDetokenizer:
    """For byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM2): every token is a fixed string of bytes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._special = special_ids(tokenizer)
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """Return the text that the token completed."""
        if token_id in self._special:
            return ""
        token = self._tokenizer.id_to_token(token_id)
        return "" if token is None else self._utf8.decode(_token_bytes(token))

    def finish(self) -> str:
        """Return what was held back."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest


class WindowDetokenizer:
    """For all other tokenizers: decode the last tokens with and without the new one, and take the difference.

    The window starts one piece back, so that what depends on the neighbour before (a leading space) comes out as in
    the whole text; its length does not grow with the text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._special = special_ids(tokenizer)
        self._byte_fallback = b'"ByteFallback"' in bytes(tokenizer.decoder.__getstate__() if tokenizer.decoder else b"")
        self._said: list[int] = []
        self._held: list[int] = []

    def push(self, token_id: int) -> str:
        """Return the text that the token completed."""
        if token_id in self._special:
            return ""
        self._held.append(token_id)
        piece = self._piece()
        if not piece or (piece.endswith(_REPLACEMENT) and self._may_complete()):
            return ""
        self._said, self._held = self._held, []
        return piece

    def finish(self) -> str:
        """Return what was held back."""
        piece = self._piece() if self._held else ""
        self._said, self._held = [], []
        return piece

    def _may_complete(self) -> bool:
        """Tell whether the last tokens are the first bytes of a character."""
        tail = bytearray()
        for token_id in reversed(self._held):
            found = _BYTE_TOKEN.fullmatch(self._tokenizer.id_to_token(token_id) or "") if self._byte_fallback else None
            if found is None:
                break
            tail.insert(0, int(found[1], 16))
        utf8 = codecs.getincrementaldecoder("utf-8")()
        try:
            utf8.decode(bytes(tail))
        except UnicodeDecodeError:
            return False
        return bool(utf8.getstate()[0])

    def _piece(self) -> str:
        before = self._decode(self._said)
        after = self._decode(self._said + self._held)
        # Invalid bytes can turn the piece before into replacement characters in hindsight; it has been said already.
        return after[len(before) :] if after.startswith(before) else self._decode(self._held)

    def _decode(self, token_ids: list[int]) -> str:
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=False)
        return text


def special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Return the ids that stand for no text."""
    return frozenset(id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special)


def _byte_alphabet() -> dict[str, int]:
    """Return GPT-2's table: printable Latin-1 characters stand for themselves, the rest for U+0100 and on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    alphabet = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    alphabet.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return alphabet


_BYTES = _byte_alphabet()


def _token_bytes(token: str) -> bytes:
    """Return the bytes of a token; one that is not written in the alphabet (an added token) stands for its own text."""
    try:
        return bytes(_BYTES[char] for char in token)
    except KeyError:
        return token.encode()
