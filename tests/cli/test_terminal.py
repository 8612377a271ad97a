import pytest

from tuibench.cli.terminal import color_system


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "tmux-256color"}, "256"),
        ({"TERM": "screen-256color"}, "256"),
        ({"TERM": "tmux"}, "256"),
        ({"TERM": "screen"}, "standard"),
        ({"TERM": "screen", "TMUX": "/tmp/tmux-0/default,1,0"}, "256"),
        ({"TERM": "screen.xterm-256color"}, "256"),
        ({"TERM": "alacritty"}, "truecolor"),
        ({"TERM": "alacritty-direct"}, "truecolor"),
        ({"TERM": "xterm-kitty"}, "truecolor"),
        ({"TERM": "xterm-direct"}, "truecolor"),
        ({"TERM": "foot-extra"}, "truecolor"),
        ({"TERM": "linux"}, "standard"),
        ({"TERM": "linux", "COLORTERM": "truecolor"}, "standard"),
        ({"TERM": "xterm"}, "standard"),
        ({"TERM": "vt220"}, "standard"),
    ],
)
def test_colours_follow_the_name_of_the_terminal(environ, expected):
    assert color_system(environ) == expected
