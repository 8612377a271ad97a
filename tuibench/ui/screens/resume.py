"""Going on with a session that was cut short: what is left to do, or why it cannot be done here."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tuibench.core import format as fmt
from tuibench.measure.run.resume_offer import GoOn, ResumeOffer
from tuibench.ui.keys.keymap import bindings


def whole(offer: ResumeOffer) -> bool:
    """Return whether a session may go on here, and only with trials beyond its plan."""
    return not offer.obstacles and not offer.unscored and not offer.n_missing(retry_failed=False)


class ResumeScreen(ModalScreen[GoOn | None]):
    """Asks what to measure; None when nothing is to be measured."""

    BINDINGS = [*bindings("resume"), *bindings("list")]

    def __init__(self, offer: ResumeOffer, n_more: int) -> None:
        """Say what is known.

        Args:
            offer: What may be measured.
            n_more: Trials of each method that are taken where nothing is missing.
        """
        super().__init__()
        self._offer = offer
        self._n_more = n_more

    def compose(self) -> ComposeResult:
        """Lay out the question, or the answer where there is only one."""
        with VerticalScroll(id="dialog") as column:
            column.border_title = fmt.printable(self._offer.continuation.path.name)
            column.border_subtitle = self._keys()
            yield Static(Content("\n").join(self._lines()))

    def _lines(self) -> Iterator[Content]:
        offer = self._offer
        n_missing, n_failed = offer.n_missing(retry_failed=False), offer.n_failed
        if offer.obstacles:
            yield Content.styled("This session cannot go on here:", "bold $error")
            yield Content()
            yield from (Content(f"• {fmt.printable(reason)}") for reason in offer.obstacles)
            yield Content()
            why = "" if offer.comparable else "New trials would not be comparable with its own. "
            yield Content.styled(f"{why}F2 starts a new session.", "$muted")
            return
        if whole(offer):
            planned = fmt.counted(offer.n_planned, "trial")
            yield Content(f"Nothing is missing: {planned} planned and taken.")
            yield Content.styled(f"enter takes {self._n_more} more of each method", "bold")
        else:
            yield Content.styled(f"{fmt.counted(n_missing, 'trial')} of {offer.n_planned} missing", "bold")
        if n_failed:
            them = "it" if n_failed == 1 else "them"
            yield Content.styled(
                f"{fmt.counted(n_failed, 'trial')} failed or skipped: enter leaves {them} alone, f takes {them} again",
                "$warning",
            )
        if offer.unscored:
            yield Content(f"quality is missing for {', '.join(map(fmt.printable, offer.unscored))}")
        if offer.spec.precision is not None and not whole(offer):
            yield Content(f"and as many more as a precision of ±{fmt.percent(offer.spec.precision, 1)} needs")
        if offer.notice is not None:
            yield Content.styled(fmt.printable(offer.notice), "$muted")
        yield Content()
        yield Content.styled("What was measured stays; the same file goes on.", "$muted")

    def _keys(self) -> str:
        if not self._possible:
            return "esc closes"
        goes_on = f"enter takes {self._n_more} more" if whole(self._offer) else "enter goes on"
        return f"{goes_on}{' · f failed, too' if self._offer.n_failed else ''} · esc cancels"

    @property
    def _possible(self) -> bool:
        return not self._offer.obstacles

    def action_go_on(self) -> None:
        """Measure what is missing; where nothing can be measured, only close."""
        found = GoOn.MORE if whole(self._offer) else GoOn.MISSING
        self.dismiss(found if self._possible else None)

    def action_retry_failed(self) -> None:
        """Measure what failed as well."""
        if self._possible and self._offer.n_failed:
            self.dismiss(GoOn.FAILED_TOO)

    def action_close(self) -> None:
        """Leave the session as it is."""
        self.dismiss(None)
