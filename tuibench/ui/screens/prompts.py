"""The prompts to choose from: those used before, those of the user's folder, and those that ship."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tuibench import paths
from tuibench.core import format as fmt
from tuibench.store.prompts import Prompt
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.text.columns import TableColumn, heading, line
from tuibench.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tuibench.ui.context import Context

_NAME = 14
"""Cells of a name, and more where texts leave some over."""
_COLUMNS = (TableColumn("name", "name", _NAME, 2, left=True), TableColumn("text", "prompt", 1, 1, left=True))


class PromptsScreen(ModalScreen[str | None]):
    """A list that what is typed narrows down; gives the prompt that was taken."""

    BINDINGS = bindings("prompts")

    search = query_one(Input)
    rows = query_one(RowList)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._prompts: list[Prompt] = []
        self._found: list[Prompt] = []

    def compose(self) -> ComposeResult:
        """Lay out the search, the list and the whole of the prompt pointed at."""
        with Vertical(id="dialog", classes="prompts") as column:
            column.border_title = "Prompts"
            column.border_subtitle = f"your own: {fmt.printable(str(paths.user_prompts()))}/*.txt"
            yield Input(placeholder="type to search", compact=True)
            yield RowList(id="prompts")
            yield Static(id="whole", markup=False)

    def on_mount(self) -> None:
        """Read the prompts."""
        kept, problems = self.context.services.prompt_library().prompts()
        used = [Prompt("", text) for text in reversed(self.context.services.prompt_history().prompts())]
        self._prompts = [*used, *kept]
        self.call_after_refresh(self._list)
        if problems:
            self.notify(fmt.printable("\n".join(problems)), title="Prompts left out", severity="warning")

    @on(Input.Changed)
    def narrow_down(self, event: Input.Changed) -> None:
        """List what holds the words that were typed."""
        event.stop()
        self._list()

    def on_resize(self) -> None:
        """Cut the lines for the new width."""
        self.call_after_refresh(self._list)

    def _list(self) -> None:
        if not self.query("#whole"):  # closed since it was asked for
            return
        words = self.search.value.casefold().split()
        self._found = [prompt for prompt in self._prompts if _holds(prompt, words)]
        cells = [self._cells(prompt) for prompt in self._found]
        n_name = max((len(each["name"][0]) for each in cells), default=0)
        n_text = max((len(each["text"][0]) for each in cells), default=0)
        room = self.rows.size.width - 3
        n_name = max(_NAME, min(n_name, room - n_text))
        widths = {"name": n_name, "text": max(1, room - n_name)}
        lines = [line(_COLUMNS, widths, each) for each in cells]
        self.rows.write(heading(_COLUMNS, widths), [str(number) for number in range(len(lines))], lines)
        self._show_whole()

    @staticmethod
    def _cells(prompt: Prompt) -> dict[str, tuple[str, str]]:
        name = fmt.printable(prompt.name)
        flat = " ".join(fmt.printable(prompt.text).split())
        return {"name": (name, "$accent") if name else ("used before", "$muted"), "text": (flat, "")}

    @on(RowList.Pointed)
    def show_pointed(self, event: RowList.Pointed) -> None:
        """Show the whole of another prompt."""
        event.stop()
        self._show_whole()

    def _show_whole(self) -> None:
        pointed = self._pointed
        whole = self.query_one("#whole", Static)
        whole.update(Content(fmt.printable(pointed.text)) if pointed else "nothing found – clear the search")

    @property
    def _pointed(self) -> Prompt | None:
        return self._found[self.rows.at] if self.rows.at < len(self._found) else None

    def action_up(self) -> None:
        """Go up in the list while the search has the focus."""
        self.rows.action_cursor_up()

    def action_down(self) -> None:
        """Go down in the list while the search has the focus."""
        self.rows.action_cursor_down()

    def action_take(self) -> None:
        """Take the prompt pointed at."""
        self.dismiss(self._pointed.text if self._pointed else None)

    def action_close(self) -> None:
        """Leave the prompt as it is."""
        self.dismiss(None)


def _holds(prompt: Prompt, words: Iterable[str]) -> bool:
    searched = f"{prompt.name} {prompt.text}".casefold()
    return all(word in searched for word in words)
