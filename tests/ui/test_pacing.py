import errno
import io

import pytest

from tests.ui.scripted import Program, until
from tuibench.ui.terminal.pacing import Pacer
from tuibench.ui.terminal.terminal_driver import _HangupSafeFile


def test_painting_waits_while_too_much_is_on_its_way():
    pacer = Pacer()
    pacer.wrote(100)
    assert pacer.wants_to_ask()
    pacer.answered()
    pacer.wrote(5000)
    assert pacer.wants_to_ask()
    assert pacer.behind
    pacer.wrote(5000)
    assert not pacer.wants_to_ask()  # one question at a time
    pacer.answered()
    assert pacer.behind  # the second half is still on its way
    assert pacer.wants_to_ask()
    pacer.answered()
    assert not pacer.behind
    assert not pacer.wants_to_ask()


def test_a_terminal_that_never_answers_is_painted_without_regard():
    pacer = Pacer()
    for _ in range(10):
        pacer.wrote(5000)
        pacer.wants_to_ask()
        assert not pacer.behind


def test_an_answer_that_nobody_asked_for_says_nothing():
    pacer = Pacer()
    pacer.answered()
    assert not pacer.answers


def test_nothing_is_asked_at_the_end():
    pacer = Pacer()
    pacer.wrote(100)
    pacer.stop_asking()
    assert not pacer.wants_to_ask()


class Line:
    """Stands for a terminal at the end of a line."""

    behind = False

    def is_behind(self):
        return self.behind


async def test_what_changes_while_the_terminal_is_behind_is_painted_once_it_has_caught_up(monkeypatch):
    app = Program().app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = app.screen
        await until(pilot, screen._facts_known.is_set)
        await pilot.pause()
        line = Line()
        app._driver.is_behind = line.is_behind
        painted = []
        display = app._display
        monkeypatch.setattr(app, "_display", lambda screen, update: painted.append(update) or display(screen, update))
        line.behind = True
        for state in ("one", "two"):
            screen.status.state = state
            await pilot.pause()
            await until(pilot, lambda: screen._owes_paint)
        assert not painted
        line.behind = False
        screen.pay_paint()
        assert len(painted) == 1
        assert not screen._owes_paint
        screen.pay_paint()
        assert len(painted) == 1


class Gone(io.StringIO):
    """A terminal after a hang-up, or a disk that is full."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def fileno(self):
        return 2

    def write(self, _text):
        raise OSError(self.number, "no")

    def flush(self):
        raise OSError(self.number, "no")


def test_what_is_written_to_a_terminal_that_is_gone_is_lost_quietly():
    file = _HangupSafeFile(Gone(errno.EIO), int)
    assert file.write("x") == 0
    file.flush()


def test_any_other_error_of_a_terminal_is_an_error():
    file = _HangupSafeFile(Gone(errno.ENOSPC), int)
    with pytest.raises(OSError, match="no"):
        file.write("x")
    with pytest.raises(OSError, match="no"):
        file.flush()
