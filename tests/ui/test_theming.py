import math
import re
from itertools import combinations

import pytest
from rich.color import ColorSystem
from textual import constants
from textual.color import Color

from tests.ui.scripted import Program, until
from tuibench import paths
from tuibench.ui.look.series import N_SERIES
from tuibench.ui.look.theming import DEFAULT_THEME, THEME_OF_16_COLOURS, ThemeFolders, load_theme, load_themes

THEMES = load_themes([paths.packaged_themes()]).themes
BY_NAME = pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
GOOD = (paths.packaged_themes() / "graphite.toml").read_text()
READ_ON = ("background", "surface", "panel")
TEXT = ("foreground", "muted", "accent", "primary", "success", "warning", "error")


def colour(theme, name):
    return Color.parse(getattr(theme, name, None) or theme.variables[name])


def luminance(one):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in one.normalized]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """WCAG 2.1, success criterion 1.4.3."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def downgraded(one):
    return one.rich_color.downgrade(ColorSystem.EIGHT_BIT).number


def test_there_are_at_least_eight_themes_dark_and_light():
    assert len(THEMES) >= 8
    assert len([theme for theme in THEMES if not theme.dark]) >= 3
    assert {DEFAULT_THEME, THEME_OF_16_COLOURS} <= {theme.name for theme in THEMES}


def test_no_theme_is_another_by_name_only():
    grounds = {tuple(colour(theme, ground).hex for ground in READ_ON) for theme in THEMES if theme.name != "okabe-ito"}
    assert len(grounds) == len(THEMES) - 1  # okabe-ito is graphite with other colours on it


@BY_NAME
def test_text_is_readable_on_the_grounds_it_is_drawn_on(theme):
    series = [f"series-{number}" for number in range(1, N_SERIES + 1)]
    for name in (*TEXT, *series):
        for ground in READ_ON:
            ratio = contrast(colour(theme, name), colour(theme, ground))
            assert ratio >= 4.5, f"{name} on {ground}: {ratio:.2f}"


@BY_NAME
def test_grounds_stay_three_shades_with_256_colours(theme):
    assert len({downgraded(colour(theme, ground)) for ground in READ_ON}) == 3


@BY_NAME
def test_each_of_sixteen_methods_has_a_colour_of_its_own(theme):
    series = [colour(theme, f"series-{number}") for number in range(1, N_SERIES + 1)]
    assert len({one.hex for one in series}) == N_SERIES
    if theme.name != THEME_OF_16_COLOURS:
        assert len(set(map(downgraded, series))) == N_SERIES


@BY_NAME
def test_series_stay_eight_colours_with_256_colours(theme):
    assert len({downgraded(colour(theme, f"series-{number}")) for number in range(1, 9)}) == 8


# Simulation of full dichromacy (Machado, Oliveira, Fernandes 2009, severity 1), on linear RGB.
DICHROMACY = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def as_seen(one, matrix):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in one.normalized]
    return [min(1.0, max(0.0, sum(a * b for a, b in zip(row, linear, strict=True)))) for row in matrix]


def lab(linear):
    red, green, blue = linear
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (c ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("kind", DICHROMACY)
def test_the_colour_blind_safe_theme_keeps_eight_colours_for_every_eye(kind):
    theme = next(theme for theme in THEMES if theme.name == "okabe-ito")
    series = [colour(theme, f"series-{number}") for number in range(1, 9)]
    meanings = [colour(theme, name) for name in ("success", "error")]
    for group in (series, meanings):
        for one, other in combinations(group, 2):
            seen = [lab(as_seen(each, DICHROMACY[kind])) for each in (one, other)]
            assert math.dist(*seen) > 15, f"{one.hex} and {other.hex}"


def test_the_theme_of_16_colours_keeps_them_apart():
    theme = next(theme for theme in THEMES if theme.name == THEME_OF_16_COLOURS)

    def slot(name):
        return colour(theme, name).rich_color.downgrade(ColorSystem.STANDARD).number

    assert slot("background") == slot("surface") != slot("panel")
    series = {slot(f"series-{number}") for number in range(1, 9)}
    assert len(series) == 8
    assert not series & {slot("background"), slot("panel")}
    assert slot("foreground") not in {slot("background"), slot("panel")}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD + '\nfont = "x"\n', "font"),
        (GOOD.replace('muted = "#9E9E9E"\n', ""), "muted"),
        (GOOD.replace("#121212", "greyish"), "greyish"),
        (
            re.sub(r"series = \[.*?\]", 'series = ["#6CA9E8"]', GOOD, flags=re.DOTALL),
            "1 series colours, 8 to 16 needed",
        ),
        ("dark = ", "Invalid"),
        ("dark = 3\n", "Expected"),
    ],
)
def test_a_broken_file_is_skipped_and_named_with_its_reason(tmp_path, text, reason):
    (tmp_path / "mine.toml").write_text(text)
    (tmp_path / "whole.toml").write_text(GOOD)
    loaded = load_themes([tmp_path])
    assert [theme.name for theme in loaded.themes] == ["whole"]
    (problem,) = loaded.problems
    assert problem.startswith("mine.toml: ")
    assert reason in problem


def test_a_file_that_is_no_text_is_skipped(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    assert load_themes([tmp_path]).problems[0].startswith("mine.toml: ")


def test_a_theme_of_the_user_replaces_ours(tmp_path):
    (tmp_path / "graphite.toml").write_text(GOOD.replace("#121212", "#000000"))
    loaded = load_themes([paths.packaged_themes(), tmp_path])
    assert next(theme for theme in loaded.themes if theme.name == "graphite").background == "#000000"


def test_a_variable_of_the_file_wins(tmp_path):
    (tmp_path / "mine.toml").write_text(GOOD + '\n[variables]\nline = "#010203"\n')
    assert load_theme(tmp_path / "mine.toml").variables["line"] == "#010203"


def test_a_theme_of_eight_colours_has_more_of_the_same_for_further_methods(tmp_path):
    series = [f"#{number}0C070" for number in range(1, 9)]
    (tmp_path / "mine.toml").write_text(re.sub(r"series = \[.*?\]", f"series = {series}", GOOD, flags=re.DOTALL))
    variables = load_theme(tmp_path / "mine.toml").variables
    assert len({variables[f"series-{number}"] for number in range(1, N_SERIES + 1)}) == N_SERIES


def test_a_missing_folder_is_no_problem(tmp_path):
    assert load_themes([tmp_path / "none"]).problems == ()


def test_an_added_changed_or_removed_file_is_noticed(tmp_path):
    folders = ThemeFolders([tmp_path, tmp_path / "none"])
    assert folders.load().themes == ()
    assert not folders.changed
    for change in (
        lambda: (tmp_path / "mine.toml").write_text(GOOD),
        lambda: (tmp_path / "mine.toml").write_text(GOOD + "# longer"),
        (tmp_path / "mine.toml").unlink,
    ):
        change()
        assert folders.changed
        folders.load()
        assert not folders.changed


async def test_with_16_colours_the_row_pointed_at_is_reversed_and_has_no_colours_of_its_own(monkeypatch):
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "standard")
    async with Program().app().run_test(size=(80, 24)) as pilot:
        screen = pilot.app.screen
        await until(pilot, screen._facts_known.is_set)
        await pilot.press("escape", "j")
        pointed, other = ([segment.style for segment in screen.ladder.render_line(y)] for y in (2, 1))
        assert all(style.reverse for style in pointed)
        assert len({(style.color, style.bgcolor) for style in pointed}) == 1
        assert not any(style.reverse for style in other)
