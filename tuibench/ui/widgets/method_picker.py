"""Which methods take part."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content
from textual.widgets import SelectionList
from textual.widgets.selection_list import Selection

from tuibench.core.spec import Method
from tuibench.ui.series import SeriesMap

_SELECTED_AT_FIRST = 2


class MethodPicker(SelectionList[str]):
    """A list with a mark per method, in ladder order."""

    def __init__(self, series: SeriesMap) -> None:
        super().__init__(id="methods", compact=True)
        self.border_title = "Methods"
        self._series = series
        self._methods: Mapping[str, Method] = {}

    def offer(self, methods: Mapping[str, Method]) -> None:
        """Offer these methods, the first two selected: an answer within a minute, and more is one key away."""
        self._methods = methods
        self._series.add(methods)
        self.clear_options()
        for rung, (name, method) in enumerate(methods.items()):
            label = Content.assemble((name, self._series.variable(name)), (f"  {method.precision}", "$muted"))
            self.add_option(Selection(label, name, initial_state=rung < _SELECTED_AT_FIRST, id=name))
        self.highlighted = 0 if methods else None

    @property
    def chosen(self) -> tuple[str, ...]:
        """The selected methods, in ladder order."""
        selected = set(self.selected)
        return tuple(name for name in self._methods if name in selected)

    def on_selection_list_selection_highlighted(self, event: SelectionList.SelectionHighlighted[str]) -> None:
        """Say in the tooltip what the method does."""
        method = self._methods.get(event.selection.value)
        self.tooltip = method.explanation if method else None
