import gc
import weakref

from textual.notifications import Notification
from textual.widgets import Static
from textual.widgets._toast import Toast, ToastHolder

from tests.ui.scripted import Program, until

N_WIDGETS = 5


async def test_drawings_of_removed_widgets_are_given_back():
    async with Program().app().run_test(size=(120, 40)) as pilot:
        drawings = []
        for number in range(N_WIDGETS):
            widget = Static(f"notice {number}", markup=False)
            widget.styles.dock = "bottom"
            drawing = widget._styles_cache
            await pilot.app.screen.mount(widget)
            await until(pilot, lambda drawing=drawing: drawing._cache)
            await widget.remove()
            drawings.append(weakref.ref(drawing))
        del widget, drawing
        gc.collect()
        left = sum(drawing() is not None for drawing in drawings)
        assert left <= 1, f"{left} of {N_WIDGETS} are kept"  # the last one may still be on its way out


async def test_a_notice_that_ran_out_is_taken_away_with_its_box(monkeypatch):
    over = set()
    monkeypatch.setattr(Notification, "has_expired", property(lambda notice: notice.message in over))
    async with Program().app().run_test(size=(120, 40), notifications=True) as pilot:
        app = pilot.app

        def shown():
            return [toast._notification.message for toast in app.screen.query(Toast)]

        for text in ("first", "second", "third"):
            app.notify(text, timeout=3600)
            await until(pilot, lambda text=text: text in shown())
            over.add(text)  # before the timer of the notice itself has run out
        await until(pilot, lambda: "second" not in shown())
        assert len(app.screen.query(ToastHolder)) == len(shown())
