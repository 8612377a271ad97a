"""What is used of Textual and rich without being promised by them: an upgrade fails here and says where.

Each test names the module of `tuibench.ui.terminal` that relies on what it looks at; nothing else of ours may.
"""

import inspect
import re
from pathlib import Path

import pytest
from rich.console import Console
from textual.app import App
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen
from textual.widgets import Static

import tuibench.ui
from tuibench.ui.terminal.terminal_driver import TerminalDriver

UI = Path(tuibench.ui.__file__).parent


def test_private_parts_are_touched_in_one_room_only():
    private = re.compile(r"from textual(\.\w+)*\._|import textual(\.\w+)*\._|noqa: SLF001")
    touching = {path.relative_to(UI).parts[0] for path in UI.rglob("*.py") if private.search(path.read_text())}
    assert touching == {"terminal"}


def parameters(function):
    return [*inspect.signature(function).parameters]


@pytest.mark.parametrize(("function", "names"), [
    (App._display, ["self", "screen", "renderable"]),  # terminal_app: what is painted
    (App._handle_exception, ["self", "error"]),  # terminal_app: errors of screens that are closed
    (App._start_widget, ["self", "parent", "widget"]),  # scrollbars
    (LinuxDriver.write, ["self", "data"]),  # terminal_driver
], ids=lambda found: getattr(found, "__qualname__", None))  # fmt: skip
def test_methods_that_are_overridden_or_called_take_what_they_took(function, names):
    assert parameters(function) == names


def test_a_shared_cache_of_colours_is_keyed_by_the_widgets_drawing():
    """`textual_leak_fixes`: `StylesCache.get_inner_outer`; `ToastRack.show`, `_toast_id` and `ToastHolder`."""
    from textual._styles_cache import StylesCache
    from textual.widgets._toast import ToastHolder, ToastRack

    assert callable(StylesCache.get_inner_outer)
    assert parameters(ToastRack.show) == ["self", "notifications"]
    assert parameters(ToastRack._toast_id) == ["notification"]
    assert issubclass(ToastHolder, Static.__mro__[1])


def test_updates_tell_what_they_paint():
    """`painting`: regions and strips of `ChopsUpdate` and `LayoutUpdate`, and the compositor's partial update."""
    from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate

    assert {"chops", "spans"} <= set(parameters(ChopsUpdate.__init__))
    assert {"strips", "region"} <= set(parameters(LayoutUpdate.__init__))
    assert parameters(Compositor.render_partial_update) == ["self"]


def test_a_console_knows_its_colours():
    """`painting`: `Console._color_system`."""
    assert Console(color_system="truecolor")._color_system.name == "TRUECOLOR"


async def test_an_application_knows_what_goes_on_in_it():
    """`teardown`: `_exit`, `_pruning`, `_closing`; `terminal_app`: `_css_update_count`; `pacing`: `_driver`."""
    app = App()
    async with app.run_test():
        assert app._exit is False
        assert app._driver is not None
        assert isinstance(app._css_update_count, int)
        screen = Screen()
        assert screen._css_update_count != app._css_update_count  # so that it would be styled
        assert (app.screen._pruning, app.screen._closing) == (False, False)


def test_what_waits_for_the_terminal_can_be_counted():
    """`terminal_driver`: `WriterThread._queue`."""
    from io import StringIO

    assert WriterThread(StringIO())._queue.qsize() == 0


@pytest.mark.parametrize(("wanted", "driver"), [("1", LinuxDriver), ("0", TerminalDriver), ("", TerminalDriver)])
def test_textuals_own_driver_can_be_had(monkeypatch, wanted, driver):
    from tuibench.ui.terminal.terminal_app import TerminalApp

    monkeypatch.setenv("TUIBENCH_STOCK_DRIVER", wanted)
    monkeypatch.delenv("TEXTUAL_DRIVER", raising=False)
    assert TerminalApp(glyphs="auto").get_driver_class() is driver
