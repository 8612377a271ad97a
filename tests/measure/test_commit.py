import subprocess

import pytest

from tuibench.measure.run.commit import running_commit


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
    package = tmp_path / "tuibench"
    package.mkdir()
    (package / "module.py").write_text("1")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    return package


def test_a_checkout_names_its_commit_and_says_when_files_were_changed(checkout):
    told = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    commit = told.stdout[:12]
    assert running_commit(checkout) == commit
    (checkout / "module.py").write_text("2 two")
    assert running_commit(checkout) == f"{commit}+"


def test_an_installed_package_names_the_commit_it_was_built_from(tmp_path):
    assert running_commit(tmp_path / "tuibench") is None
    (tmp_path / "tuibench").mkdir()
    (tmp_path / "tuibench" / "_commit").write_text("0123456789ab\n")
    assert running_commit(tmp_path / "tuibench") == "0123456789ab"


def test_without_git_a_checkout_has_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert running_commit(checkout) is None
