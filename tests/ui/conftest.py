import pytest


@pytest.fixture(autouse=True)
def nobody_elses_files(tmp_path, monkeypatch):
    """Keep the developer's own themes, sessions and models out of the tests."""
    for name in ("CONFIG", "THEMES", "SESSIONS", "CACHE", "PROMPTS", "HISTORY"):
        monkeypatch.setenv(f"TUIBENCH_{name}", str(tmp_path / name.lower()))
