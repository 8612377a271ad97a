"""A model or a runtime is not here: offer to get it, and show how far that is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import ProgressBar, Static

from tuibench.core import format as fmt
from tuibench.models.origin.pull_events import Pulled, PullEvent, PullFailed, PullProgress
from tuibench.models.origin.sources import is_gguf
from tuibench.ui.keys.keymap import bindings

if TYPE_CHECKING:
    from tuibench.ui.context import Context


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be had."""

    title: str
    question: str
    verb: str
    """What enter does."""
    events: Callable[[], AsyncGenerator[PullEvent, None]]


def model_wanted(context: Context) -> Wanted:
    """Return how the model is had."""
    if is_gguf(context.model):
        question = f"{context.model} has not been converted yet.\n\nConvert it now? That is done once; the file stays."
        verb = "converts"
    else:
        question = (
            f"{context.model} is not on this machine.\n\n"
            "Pull it now? It is downloaded once and checked against its digest."
        )
        verb = "pulls"
    return Wanted("Model", question, verb, lambda: context.services.pull(context.model))


def runtime_wanted(context: Context, name: str, why: str) -> Wanted:
    """Return how a runtime is had.

    Args:
        context: The dashboard's.
        name: Of the runtime.
        why: It cannot be used as things are.
    """
    question = f"{why}.\n\nInstall it now? It gets an environment of its own, which `tuibench runtimes rm` removes."
    return Wanted("Runtime", question, "installs", lambda: context.services.add_runtime(name))


class PullScreen(ModalScreen[bool]):
    """Asks, then pulls; closing it cancels. Its result is whether it is here now."""

    BINDINGS = bindings("confirm")

    message = query_one("#message", Static)
    bar = query_one(ProgressBar)

    def __init__(self, context: Context, wanted: Wanted | None = None) -> None:
        """Say what is to be had: the model by default."""
        super().__init__()
        self.context = context
        self._wanted = wanted or model_wanted(context)
        self._pulling = False
        self._steps: list[PullProgress] = []
        """The latest of each, the one under way last."""
        self._step_since_s = 0.0

    def compose(self) -> ComposeResult:
        """Lay out the question and the bar that answers it."""
        with Vertical(id="dialog") as box:
            box.border_title = self._wanted.title
            box.border_subtitle = f"enter {self._wanted.verb} · esc cancels"
            yield Static(fmt.printable(self._wanted.question), id="message", markup=False)
            yield ProgressBar(total=1, show_eta=False)

    def action_accept(self) -> None:
        """Start to pull."""
        if not self._pulling:
            self._pulling = True
            self._steps = []
            self.query_one("#dialog").border_subtitle = "esc cancels"
            self._pull()

    def on_mount(self) -> None:
        """Let the time of a step without end be seen to pass."""
        self.set_interval(1.0, self._write)

    @work(exclusive=True)
    async def _pull(self) -> None:
        async with aclosing(self._wanted.events()) as steps:
            async for step in steps:
                match step:
                    case PullProgress():
                        self._take(step)
                        self._write()
                    case Pulled():
                        self.dismiss(True)
                        return
                    case PullFailed(message=message):
                        self._pulling = False
                        self.remove_class("-counted")
                        self.message.update(fmt.printable(message))
                        self.query_one("#dialog").border_subtitle = "enter tries again · esc closes"

    def _take(self, step: PullProgress) -> None:
        if self._steps and self._steps[-1].label == step.label:
            self._steps[-1] = step
        else:
            self._steps.append(step)
            self._step_since_s = self.context.services.clock_s()

    def _write(self) -> None:
        """Name the steps: what is over, and how far the last one is, or how long it has taken where that is unknown."""
        if not self._pulling or not self._steps:
            return
        *over, step = self._steps
        so_far = step.amount or fmt.clock(self.context.services.clock_s() - self._step_since_s)
        lines = [f"✓ {each.label}" for each in over] + [f"▶ {step.label}   {so_far}"]
        self.message.update(fmt.printable("\n".join(lines)))
        self.set_class(step.total is not None, "-counted")
        self.bar.update(total=step.total or 1, progress=step.done if step.total else 0)

    def action_close(self) -> None:
        """Cancel."""
        self.workers.cancel_node(self)
        self.dismiss(False)
