import pytest
from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color

from tuibench.ui.look.glyphs import GlyphFilter, ascii_text, console_text, detect_glyphs

BLACK = Color(0, 0, 0)


@pytest.mark.parametrize(
    ("environ", "glyphs"),
    [
        ({}, "unicode"),
        ({"TERM": "xterm-256color", "LANG": "de_DE.UTF-8"}, "unicode"),
        ({"TERM": "xterm-256color", "LC_ALL": "C"}, "ascii"),
        ({"TERM": "xterm", "LANG": "de_DE.ISO-8859-1"}, "ascii"),
        ({"TERM": "xterm", "LANG": "de_DE.ISO-8859-1", "LC_CTYPE": "C.utf8"}, "unicode"),
        ({"TERM": "linux", "LANG": "en_US.UTF-8"}, "console"),
        ({"TERM": "linux", "LC_ALL": "POSIX"}, "ascii"),
        ({"LC_ALL": "C", "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver"}, "unicode"),
    ],
)
def test_what_can_be_drawn_follows_locale_and_terminal(environ, glyphs):
    assert detect_glyphs(environ) == glyphs


@pytest.mark.parametrize(("said", "glyphs"), [(True, "unicode"), (False, "ascii"), (None, "unicode")])
def test_within_tmux_it_is_asked_whether_its_terminal_takes_utf8(said, glyphs):
    assert detect_glyphs({"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"}, lambda: said) == glyphs
    assert detect_glyphs({"TERM": "xterm"}, lambda: said) == "unicode"


@pytest.mark.parametrize("exchange", [ascii_text, console_text])
def test_every_character_keeps_its_width(exchange):
    for code in (*range(0x20, 0x3000), 0x4E2D, 0x1F600, 0x1FB70):
        if code in range(0x7F, 0xA0):
            continue
        char = chr(code)
        assert cell_len(exchange(char)) == cell_len(char), hex(code)


def test_ascii_is_ascii_and_still_says_the_same():
    assert ascii_text("╭─ 4.0× ─╮ │ é 中 ✓ 27 µs … – ⣀⠉⣿") == "+- 4.0x -+ | e ?? + 27 us ~ - .'|"


@pytest.mark.parametrize("exchange", [ascii_text, console_text])
def test_what_keys_and_choices_are_drawn_with_is_known(exchange):
    assert "?" not in exchange("‹ standard › ⏎ ▸ ▾ ■ □ ✓ ✗ ▶ ● ▲ · ≠ × ≈ ≥ ± – …")


def test_the_console_keeps_its_lines_and_blocks():
    assert console_text("╭─╮│█▀▄ ⣀⠉⣿ ✓ ▶") == "┌─┐│█▀▄ ▄▀█ √ ►"


def test_a_filter_changes_text_only():
    before = [Segment("abc"), Segment("╭─", Segment.line().style)]
    after = GlyphFilter("ascii").apply(before, BLACK)
    assert [segment.text for segment in after] == ["abc", "+-"]
    assert after[0] is before[0]
    assert not GlyphFilter("unicode").enabled
