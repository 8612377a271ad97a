"""A measured method goes home: into a folder that runs without this program."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tuibench.core import format as fmt
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.take_process import TakeFailed, Taken, TakeStep

if TYPE_CHECKING:
    from tuibench.ui.context import Context
    from tuibench.ui.take_process import TakeRequest


class TakeScreen(ModalScreen[None]):
    """Asks, then takes; closing it cancels. The folder's path stays on the screen until it is closed."""

    BINDINGS = bindings("take")

    def __init__(self, context: Context, request: TakeRequest, methods: Sequence[str]) -> None:
        """Say what to begin with.

        Args:
            context: The dashboard's.
            request: What is taken unless another method is chosen.
            methods: Those that there are to choose from.
        """
        super().__init__()
        self.context = context
        self._methods = tuple(methods)
        self._request = request
        self._steps: list[str] = []
        self._ended: Taken | TakeFailed | None = None
        self._taking = False
        self._since_s = 0.0

    def compose(self) -> ComposeResult:
        """Lay out one column."""
        with VerticalScroll(id="dialog") as column:
            column.border_title = "Use it"
            yield Static(id="take", markup=False)

    def on_mount(self) -> None:
        """Tell what will be done; let the time of a step be seen to pass."""
        self._write()
        self.set_interval(1.0, self._tick)

    @property
    def _obstacle(self) -> str | None:
        return self.context.services.why_not_taken(self._request.method)

    def _write(self) -> None:
        self.query_one("#take", Static).update(Content("\n").join(self._lines()))
        self.query_one("#dialog").border_subtitle = self._keys()

    def _keys(self) -> str:
        if self._taking:
            return "esc cancels"
        if isinstance(self._ended, Taken):
            return "esc closes"
        others = "←→ another method · " if len(self._methods) > 1 else ""
        again = "" if self._obstacle else "enter tries again · " if self._ended else "enter takes it · "
        return f"{others}{again}esc closes"

    def _lines(self) -> list[Content]:
        folder = fmt.printable(str(self._request.folder.absolute()))
        lines = [Content.styled(fmt.printable(self._request.method), "bold $accent"), Content()]
        match self._ended:
            case Taken():
                lines += [
                    Content.assemble(("✓ ", "$success"), "it runs by itself, with the same tokens as here"),
                    Content(),
                    Content.styled(folder, "bold"),
                    Content(),
                    Content.styled('try it there: python generate.py "Why is the sky blue?"', "$muted"),
                ]
                return lines
            case TakeFailed(message=message):
                return [*lines, Content.styled(f"✗ {fmt.printable(message)}", "$error")]
        if self._taking:
            return [*lines, *self._progress()]
        if reason := self._obstacle:
            return [*lines, Content.styled(fmt.printable(reason), "$warning")]
        return [
            *lines,
            Content(
                "Makes a folder with graph or weights, tokenizer and a short generate.py, and runs it by itself before "
                "it is handed over: it must give the same tokens. Takes as long as loading it twice."
            ),
            Content(),
            Content.assemble(("folder  ", "$muted"), folder),
        ]

    def _progress(self) -> list[Content]:
        *over, current = self._steps or ["starting"]
        so_far = fmt.clock(self.context.services.clock_s() - self._since_s)
        return [*(Content(f"✓ {label}") for label in over), Content(f"▶ {current}   {so_far}")]

    def _tick(self) -> None:
        if self._taking:
            self._write()

    def action_next_method(self, step: int) -> None:
        """Choose another method."""
        if self._taking or isinstance(self._ended, Taken) or len(self._methods) < 2:  # noqa: PLR2004 - one and another
            return
        at = self._methods.index(self._request.method)
        method = self._methods[(at + step) % len(self._methods)]
        folder = self.context.services.take_folder(self._request.model, method)
        self._request, self._ended = replace(self._request, method=method, folder=folder), None
        self._write()

    def action_take(self) -> None:
        """Take it."""
        if not self._taking and not isinstance(self._ended, Taken) and not self._obstacle:
            self._taking, self._ended, self._steps = True, None, []
            self._since_s = self.context.services.clock_s()
            self._take()

    @work(exclusive=True)
    async def _take(self) -> None:
        async with aclosing(self.context.services.take(self._request)) as events:
            async for event in events:
                if isinstance(event, TakeStep):
                    self._steps.append(fmt.printable(event.label))
                    self._since_s = self.context.services.clock_s()
                else:
                    self._taking, self._ended = False, event
                self._write()

    def action_close(self) -> None:
        """Cancel, or close."""
        self.workers.cancel_node(self)
        self.dismiss(None)
