import pytest
from rich.color import ColorSystem
from textual.color import Color

from tuibench import paths
from tuibench.ui.theming import load_theme, load_themes

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


def test_there_are_at_least_three_themes_and_one_is_light():
    assert len(THEMES) >= 3
    assert any(not theme.dark for theme in THEMES)


@BY_NAME
def test_text_is_readable_on_the_grounds_it_is_drawn_on(theme):
    series = [f"series-{number}" for number in range(1, 9)]
    for name in (*TEXT, *series):
        for ground in READ_ON:
            ratio = contrast(colour(theme, name), colour(theme, ground))
            assert ratio >= 4.5, f"{name} on {ground}: {ratio:.2f}"


@BY_NAME
def test_grounds_stay_three_shades_with_256_colours(theme):
    assert len({downgraded(colour(theme, ground)) for ground in READ_ON}) == 3


@BY_NAME
def test_series_stay_eight_colours_with_256_colours(theme):
    assert len({downgraded(colour(theme, f"series-{number}")) for number in range(1, 9)}) == 8


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD + '\nfont = "x"\n', "font"),
        (GOOD.replace('muted = "#9E9E9E"\n', ""), "muted"),
        (GOOD.replace("#121212", "greyish"), "greyish"),
        (GOOD.replace('series = ["#6CA9E8", ', "series = ["), "7 series colours, 8 needed"),
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


def test_a_missing_folder_is_no_problem(tmp_path):
    assert load_themes([tmp_path / "none"]).problems == ()
