"""The model is not here: offer to get it, and show how far that is."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import ProgressBar, Static

from tuibench.core import format as fmt
from tuibench.models.pull_process import Progress, Pulled, PullFailed
from tuibench.ui.keymap import bindings

if TYPE_CHECKING:
    from tuibench.ui.services import Context


class PullScreen(ModalScreen[bool]):
    """Asks, then pulls; closing it cancels. Its result is whether the model is here now."""

    BINDINGS = bindings("confirm")

    message = query_one("#message", Static)
    bar = query_one(ProgressBar)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._pulling = False

    def compose(self) -> ComposeResult:
        """Lay out the question and the bar that answers it."""
        with Vertical(id="dialog") as box:
            box.border_title = "Model"
            box.border_subtitle = "enter pulls · esc cancels"
            yield Static(
                f"{fmt.printable(self.context.model)} is not on this machine.\n\nPull it now? It is downloaded once"
                " and checked against its digest.",
                id="message",
                markup=False,
            )
            yield ProgressBar(total=1, show_eta=False)

    def action_accept(self) -> None:
        """Start to pull."""
        if not self._pulling:
            self._pulling = True
            self.add_class("-pulling")
            self._pull()

    @work(exclusive=True)
    async def _pull(self) -> None:
        async with aclosing(self.context.services.pull(self.context.model)) as steps:
            async for step in steps:
                match step:
                    case Progress(label=label, done=done, total=total):
                        self.message.update(f"{fmt.printable(label)}\n\n{_amount(done, total)}")
                        self.bar.update(total=total or 1, progress=done if total else 0)
                    case Pulled():
                        self.dismiss(True)
                        return
                    case PullFailed(message=message):
                        self.message.update(f"{fmt.printable(message)}\n\nenter tries again")
                        self.remove_class("-pulling")
                        self._pulling = False

    def action_close(self) -> None:
        """Cancel."""
        self.workers.cancel_node(self)
        self.dismiss(False)


def _amount(done: int, total: int | None) -> str:
    return f"{fmt.count(done)} of {fmt.count(total)}" if total else fmt.count(done)
