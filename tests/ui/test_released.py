import gc
import weakref

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


async def test_a_notice_that_ran_out_is_taken_away_with_its_box():
    async with Program().app().run_test(size=(120, 40)) as pilot:
        screen = pilot.app.screen
        for text in ("first", "second", "third"):
            pilot.app.notify(text, timeout=3600)
            await until(
                pilot, lambda text=text: [toast._notification.message for toast in screen.query(Toast)] == [text]
            )
            for toast in screen.query(Toast):
                toast._notification.timeout = 0  # over before the timer of the notice itself has run out
        assert len(screen.query(ToastHolder)) == 1
