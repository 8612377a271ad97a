"""The ladder: one row for each method, what it gained over the rung below it and over the lowest one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.content import Content
from textual.message import Message
from textual.reactive import var

from tuibench.core import format as fmt
from tuibench.core.results.by_host import runs_of_machines
from tuibench.core.results.comparison import Comparison, compare
from tuibench.core.results.peers import HEADING, is_peer
from tuibench.core.results.row import Row
from tuibench.core.run.spec import Method
from tuibench.core.run.state import RunState
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.look.series import SeriesMap
from tuibench.ui.messages import MethodPointed, MethodToggled
from tuibench.ui.text import ladder_rows
from tuibench.ui.text.columns import Widths, fit, heading
from tuibench.ui.text.ladder_rows import COLUMNS, Rung
from tuibench.ui.text.subtitle import write_subtitle
from tuibench.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tuibench.models.memory_needs import Fit

_SELECTED_AT_FIRST = 2
_FOLD = "…"
"""The key of the row that stands for methods which were not measured; no method is called so."""
_PEERS, _MORE_PEERS = "–", "––"
"""Those of the headings above runtimes and servers of others: measured ones, and those that were not."""
_NO_METHODS = frozenset({_FOLD, _PEERS, _MORE_PEERS})


class Ladder(RowList):
    """Bound to the run of its screen. While nothing runs it shows what could be measured, too, to be chosen from."""

    BINDINGS = bindings("ladder")
    run: var[RunState] = var(RunState, init=False)

    @dataclass
    class ChoiceChanged(Message):
        """Other methods take part in the next run."""

    @dataclass
    class Compared(Message):
        """The finished trials amount to something else than before."""

        comparison: Comparison

    def __init__(self, series: SeriesMap) -> None:
        super().__init__(id="ladder")
        self._series = series
        self._known: Mapping[str, Method] = {}
        self._fits: Mapping[str, Fit] = {}
        self._chosen: set[str] = set()
        self._choosing = False
        self._folded = True
        self._comparison = compare((), parents={})
        self._compared: dict[str, Row] = {}
        """Its rows by their names."""
        self._measured: tuple[object, ...] = ()
        self._written: dict[str, tuple[tuple[object, ...], Content]] = {}
        """Each row, and what it was made of."""
        self.border_title = "Ladder"

    def explain(self, known: Mapping[str, Method]) -> None:
        """Say which methods there are and what they do, in ladder order."""
        self._known = known
        self._series.add(known)
        self._measured = ()
        self._rewrite()

    def offer(self, known: Mapping[str, Method]) -> None:
        """Let methods be chosen, the first two to begin with: an answer within a minute, and more is one key away."""
        self._choosing = True
        self._chosen = set(list(known)[:_SELECTED_AT_FIRST])
        self.explain(known)
        self.post_message(self.ChoiceChanged())

    def tell_fits(self, fits: Mapping[str, Fit]) -> None:
        """Say which methods fit into memory, as far as that is known."""
        if fits != self._fits:
            self._fits = fits
            self._rewrite()

    @property
    def chosen(self) -> tuple[str, ...]:
        """The methods that take part in the next run, in ladder order."""
        return tuple(name for name in self._known if name in self._chosen)

    def choose(self, methods: Iterable[str]) -> None:
        """Let exactly these take part."""
        self._chosen = set(methods) & set(self._known)
        self._rewrite()
        self.post_message(self.ChoiceChanged())

    def toggle(self, method_id: str) -> None:
        """Let a method take part, or not any more."""
        self.choose(self._chosen ^ {method_id})

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that have a row, in the order of the rows."""
        return tuple(key for key in self.keys if key not in _NO_METHODS)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the key that unfolds to the screen on every other row, and offer no choice where there is none."""
        del parameters
        folds = self.pointed == _FOLD
        useful = {
            "unfold": folds,
            "toggle_choice": folds or (self._choosing and self.pointed not in _NO_METHODS),
            "toggle_all": self._choosing,
        }
        return useful.get(action, True)

    @property
    def key_labels(self) -> Mapping[str, str]:
        """What keys are called as the rows stand."""
        fold = "Unfold" if self._folded else "Fold"
        return {"ladder.unfold": fold} | ({"ladder.toggle": fold} if self.pointed == _FOLD else {})

    def action_unfold(self) -> None:
        """Show the methods that were not measured, or not any more."""
        self._folded = not self._folded
        self._rewrite()
        self.refresh_bindings()

    def action_toggle_choice(self) -> None:
        """Choose the method pointed at, or not any more."""
        if self.pointed == _FOLD:
            self.action_unfold()
        elif self._choosing and self.pointed is not None and self.pointed in self._known:
            self.post_message(MethodToggled(self.pointed))

    def action_toggle_all(self) -> None:
        """Choose all methods that can be used here, or none if all are chosen."""
        if self._choosing:
            usable = [name for name, method in self._known.items() if not method.problem and not method.named_only]
            self.choose(() if self._chosen >= set(usable) else usable)

    # Writing --------------------------------------------------------------------------------------------------------

    def watch_run(self) -> None:
        """Write what changed; speed-ups are computed anew only when a trial ended."""
        if self.is_mounted:
            self._rewrite()

    def on_resize(self) -> None:
        """Find out which columns fit."""
        super().on_resize()
        self._rewrite()

    @property
    def _shown(self) -> tuple[str, ...]:
        run = self.run.methods
        if run and (self.run.running or not self._choosing):
            return self._headed(run)
        if not run or not self._not_measured:
            return self._headed(run or self._known)
        return (*self._headed(run), _FOLD, *(() if self._folded else self._headed(self._not_measured, _MORE_PEERS)))

    def _headed(self, names: Iterable[str], key: str = _PEERS) -> tuple[str, ...]:
        """Return methods with those of others last, under their heading where there are others, too."""
        peers = [name for name, method in self._known.items() if not method.is_rung]
        theirs = [name for name in names if is_peer(name, peers)]
        ours = [name for name in names if name not in theirs]
        return (*ours, *((key,) if ours and theirs else ()), *theirs)

    @property
    def _not_measured(self) -> tuple[str, ...]:
        return tuple(name for name in self._known if name not in self.run.methods)

    def _rewrite(self) -> None:
        measured = tuple((name, len(state.records), state.quality) for name, state in self.run.methods.items())
        if measured != self._measured:
            self._measured = measured
            parents = {name: method.parent for name, method in self._known.items()}
            exact = [name for name, method in self._known.items() if method.promises_the_model]
            found = self._comparison = compare(runs_of_machines(self.run), parents=parents, exact=exact)
            self._compared = {found.name(row): row for row in found.rows}
            self.post_message(self.Compared(found))
        widths = self._widths()
        names = self._shown
        rows = [self._heading_row(name) if name in _NO_METHODS else self._row(name, widths) for name in names]
        title = "Ladder · space chooses, a all" if self._choosing and not self.run.running else "Ladder"
        if self.border_title != title:
            self.border_title = title
        write_subtitle(self, ladder_rows.legend(self._compared.values()))
        self.write(heading(COLUMNS, widths), names, rows)

    def _heading_row(self, key: str) -> Content:
        return self._fold() if key == _FOLD else Content.styled(HEADING, "$muted")

    def _fold(self) -> Content:
        folded = self._not_measured
        n_chosen = len(self._chosen.intersection(folded))
        chosen = f", {n_chosen} of them chosen" if n_chosen else ""
        text = f"{'▸' if self._folded else '▾'} {fmt.counted(len(folded), 'more method')}{chosen}"
        return Content.styled(text, "$muted")

    def _row(self, name: str, widths: Widths) -> Content:
        """Return a row, the same as before where nothing of it is new: with a snapshot, one row changes."""
        rung = self._rung(name)
        width = self._row_width
        made_of = (rung.about, rung.chosen, rung.state, rung.compared, rung.accent, rung.fit, widths, width)
        before = self._written.get(name)
        if before is None or not all(map(_same, before[0], made_of)):
            before = self._written[name] = (made_of, ladder_rows.row(rung, widths, width))
        return before[1]

    def _widths(self) -> Widths:
        methods = [name for name in self._shown if name not in _NO_METHODS]
        columns = ladder_rows.columns([f"{self._letter(name)}  {name}".strip() for name in methods])
        hidden = ladder_rows.hidden_columns(self._comparison, methods)
        return fit(columns, self._row_width, hidden=hidden)

    @property
    def _row_width(self) -> int:
        return max(1, self.scrollable_content_region.width)

    def _letter(self, name: str) -> str:
        return self._series.letter(name, colourless=True) if self.app.no_color else ""

    def _rung(self, name: str) -> Rung:
        return Rung(
            method_id=name,
            about=self._known.get(name),
            chosen=name in self._chosen if self._choosing else None,
            state=self.run.methods.get(name),
            compared=self._compared.get(name),
            accent=self._series.variable(name),
            letter=self._letter(name),
            fit=self._fits.get(name),
        )

    @on(RowList.Pointed)
    def tell_method(self, event: RowList.Pointed) -> None:
        """Tell which method the user moved to."""
        event.stop()
        self.refresh_bindings()
        if event.key not in _NO_METHODS:
            self.post_message(MethodPointed(event.key))


def _same(old: object, new: object) -> bool:
    """Whether they need not be looked at: a state is never changed, and too large to be compared."""
    return old is new or (isinstance(new, str | dict | int) and old == new)
