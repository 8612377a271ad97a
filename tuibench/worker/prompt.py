"""The prompt of one trial: what somebody wrote, or so many tokens of a running text, perhaps behind others of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuibench.core.run.spec import TrialRequest
from tuibench.engines.base import ContinuingEngine, Engine, ExtendingEngine, UnsupportedModelError
from tuibench.models.text.prompt_reading import PromptReading, read_prompt
from tuibench.models.text.running_text import Cut, cut
from tuibench.models.text.tokenizer import PromptTokenizer

if TYPE_CHECKING:
    from tuibench.engines.base import Logits


class Prompt:
    """What a trial reads. Everything but `tokenised` is done before its clock starts."""

    def __init__(self, tokenizer: PromptTokenizer, request: TrialRequest, part: int = 0) -> None:
        """Cut it, and look whether the model reads it.

        Args:
            tokenizer: The model's.
            request: What is asked for.
            part: Which part of the running text it is, of several users' prompts; all begin as the first does.

        Raises:
            ModelError: The chat template refuses it.
            PromptError: It has tokens that the model has no embedding of.
        """
        self._tokenizer, self._request = tokenizer, request
        text, depth, length = request.running_text, request.depth_tokens, request.prompt_tokens
        skipped = part * (depth + (length or 0))
        self.before: Sequence[int] = cut(tokenizer, text, 0, depth, skipped).token_ids if depth else ()
        """Tokens that the KV-cache is to hold when the clock starts."""
        self._part: Cut | None = cut(tokenizer, text, depth, length, skipped) if length is not None else None
        self.text = request.prompt if self._part is None else self._part.text
        self.raw = request.raw or self._part is not None
        self.ids: Sequence[int] = self._encoded() if self._part is None else self._part.token_ids

    @property
    def reading(self) -> PromptReading:
        """What the model reads of it."""
        return read_prompt(self._tokenizer, self.text, raw=self.raw, today=self._request.prompt_date)

    def tokenised(self) -> Sequence[int]:
        """Tokenise it, and return its tokens."""
        ids = self._encoded()
        return ids if self._part is None else self._part.token_ids

    def _encoded(self) -> list[int]:
        return self._tokenizer.encode(self.text, raw=self.raw, today=self._request.prompt_date)


class PromptReader:
    """Has an engine read prompts; what stands before several of them is read once, if its KV-cache can go back."""

    def __init__(self, engine: Engine) -> None:
        """Take a loaded engine; whoever else has it read something calls `forget`."""
        self.engine = engine
        self._before: Sequence[int] = ()
        """What the text in its KV-cache begins with, if that is what stood before a prompt."""

    def forget(self) -> None:
        """Take nothing for read."""
        self._before = ()

    def fill(self, prompt: Prompt, n_new: int, spare_tokens: int = 0) -> None:
        """Have the KV-cache hold what stands before the prompt, and nothing else.

        Args:
            prompt: What `read` comes to read.
            n_new: Tokens that will be generated behind it.
            spare_tokens: How much more room the prompts to come will need behind the same tokens.

        Raises:
            UnsupportedModelError: The engine cannot read a prompt behind that.
        """
        engine, before = self.engine, prompt.before
        held, self._before = self._before, ()  # an error on the way leaves who knows what
        if not before:
            return
        if not isinstance(engine, ExtendingEngine):
            raise UnsupportedModelError("the method cannot read a prompt behind tokens that its KV-cache holds already")
        length = len(before) + len(prompt.ids) + n_new
        if not isinstance(engine, ContinuingEngine):
            engine.prefill(before, length)
        elif held != before or not engine.keep(len(before), length):
            spare_tokens *= engine.spare_room
            engine.prefill(before, length + spare_tokens)
            if spare_tokens and not engine.keep(len(before), length):
                engine.prefill(before, length)
        self._before = before

    def read(self, prompt: Prompt, n_new: int) -> Logits:
        """Read the prompt, behind what `fill` has read, and return the logits that follow."""
        if prompt.before and isinstance(self.engine, ExtendingEngine):
            return self.engine.extend(prompt.ids)
        return self.engine.prefill(prompt.ids, len(prompt.ids) + n_new)
