"""How many colours a terminal shows, where its name says more than the toolkit concludes from it."""

from __future__ import annotations

from collections.abc import Mapping

# What `TEXTUAL_COLOR_SYSTEM` takes.
TRUECOLOR, EIGHT_BIT, STANDARD = "truecolor", "256", "standard"

# These always show 16 million colours; an SSH connection carries their TERM over, but not COLORTERM.
_TRUECOLOR_TERMS = ("alacritty", "contour", "foot", "rio", "wezterm", "xterm-ghostty", "xterm-kitty")


def color_system(environ: Mapping[str, str]) -> str:
    """Return the colour system that suits `TERM` and `COLORTERM`."""
    term = environ.get("TERM", "").lower()
    if term == "linux":  # COLORTERM may be left over from elsewhere; the console has 16 whatever it says
        return STANDARD
    if environ.get("COLORTERM", "").strip().lower() in {"truecolor", "24bit"}:
        return TRUECOLOR
    if term.endswith("-direct") or term.startswith(_TRUECOLOR_TERMS):
        return TRUECOLOR
    if term.endswith("256color") or term == "tmux":
        return EIGHT_BIT
    if term == "screen" and "TMUX" in environ:  # tmux under its old name: it has 256
        return EIGHT_BIT
    return STANDARD
