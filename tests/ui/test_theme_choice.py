import pytest
from textual import constants

from tests.ui.scripted import Program, until
from tuibench import paths
from tuibench.config import Config, LoadedConfig, load_config
from tuibench.ui.screens.themes import ThemeScreen

GOOD = (paths.packaged_themes() / "graphite.toml").read_text()


def notices(app):
    return [notice.message for notice in app._notifications]


async def chooser(pilot):
    await pilot.press("f12")
    await until(pilot, lambda: isinstance(pilot.app.screen, ThemeScreen) and pilot.app.screen.options.has_focus)
    return pilot.app.screen


async def test_moving_in_the_list_puts_the_theme_on_and_escape_takes_it_off():
    async with Program().app(theme="ember").run_test(size=(100, 30)) as pilot:
        await chooser(pilot)
        await pilot.press("j")
        await until(pilot, lambda: pilot.app.theme == "glacier")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, ThemeScreen))
        assert pilot.app.theme == "ember"
        assert not paths.config_file().exists()


async def test_a_theme_that_is_taken_is_there_next_time():
    async with Program().app(theme="ember").run_test(size=(100, 30)) as pilot:
        await chooser(pilot)
        await pilot.press("down", "enter")
        await until(pilot, paths.config_file().exists)
    config = load_config(paths.config_file())
    assert config.config.theme == "glacier"
    assert Program().app(config=config).theme == "glacier"


async def test_a_broken_settings_file_is_not_overwritten():
    paths.config_file().write_text("mouse =")
    async with Program().app().run_test(size=(100, 30)) as pilot:
        await chooser(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: any("config: Invalid" in notice for notice in notices(pilot.app)))
    assert paths.config_file().read_text() == "mouse ="


async def test_an_edited_theme_file_is_worn_at_once(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    app = Program().app(theme="mine", theme_folders=[paths.packaged_themes(), tmp_path])
    async with app.run_test(size=(100, 30)) as pilot:
        file.write_text(GOOD.replace("#121212", "#000044"))
        app._reload_themes()
        await pilot.pause()
        assert app.screen.styles.background.hex == "#000044"
        file.write_text("dark = [oops")
        app._reload_themes()
        await pilot.pause()
        assert app.screen.styles.background.hex == "#000044"
        assert notices(app)[0].startswith("skipped mine.toml: ")
        app._reload_themes()
        assert len(notices(app)) == 1


async def test_a_new_theme_is_in_the_list_without_a_restart(tmp_path):
    app = Program().app(theme_folders=[paths.packaged_themes(), tmp_path])
    async with app.run_test(size=(100, 30)) as pilot:
        (tmp_path / "zz.toml").write_text(GOOD)
        app._reload_themes()
        assert (await chooser(pilot)).options.get_option("zz")
        await pilot.press("escape")
        (tmp_path / "zz.toml").unlink()
        app._reload_themes()
        assert "zz" not in app.available_themes


@pytest.mark.parametrize(("system", "theme"), [("standard", "sixteen"), ("256", "graphite"), ("auto", "graphite")])
def test_the_first_theme_suits_the_terminal(monkeypatch, system, theme):
    monkeypatch.setattr(constants, "COLOR_SYSTEM", system)
    assert Program().app().theme == theme
    assert Program().app(theme="paper").theme == "paper"


async def test_problems_of_the_settings_are_told_in_one_notice():
    config = LoadedConfig(Config(keys={"run.begin": "f6", "run.stop": "f7"}), ("config: oops",))
    async with Program().app(config=config).run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        (notice,) = notices(pilot.app)
        assert notice.splitlines()[0] == "config: oops"
        assert "run.begin" in notice
        assert pilot.app.get_key_display(pilot.app.screen.active_bindings["f7"].binding) == "F7"
