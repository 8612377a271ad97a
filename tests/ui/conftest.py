import pytest
from textual.css.stylesheet import Stylesheet
from textual.notifications import Notification

from tests.ui.idle import Idle


@pytest.fixture(scope="session", autouse=True)
def _styles_parsed_once():
    """Every application reads the same styles twice, in Textual's colours and in ours; rules are only looked up."""
    parsed = {}
    parse_rules = Stylesheet._parse_rules

    def _parse_rules(sheet, *args, **options):
        key = frozenset(sheet._variables.items()), args, *options.items()
        if key not in parsed:
            parsed[key] = parse_rules(sheet, *args, **options)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", _parse_rules)
        yield


@pytest.fixture(autouse=True)
def nobody_elses_files(tmp_path, monkeypatch):
    """Keep the developer's own themes, sessions and models out of the tests."""
    for name in ("CONFIG", "THEMES", "SESSIONS", "CACHE", "PROMPTS", "HISTORY"):
        monkeypatch.setenv(f"TUIBENCH_{name}", str(tmp_path / name.lower()))


@pytest.fixture(autouse=True)
def nobody_hurries(monkeypatch):
    """Whoever presses a key waits until all that follows from it is done, however slow the machine."""
    Idle(monkeypatch)


@pytest.fixture(autouse=True)
def notices_stay(monkeypatch):
    """What was told is still there when it is looked for, however late."""
    monkeypatch.setattr(Notification, "has_expired", False)
