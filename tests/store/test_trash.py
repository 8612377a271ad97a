import os
import time

import pytest

from tuibench.store.schema import SessionError
from tuibench.store.trash import KEPT_S, delete, deleted, restore


def session(folder, name="a", text="x"):
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_deleted_session_is_out_of_the_folder_and_comes_back(tmp_path):
    path = session(tmp_path)
    put_away = delete(path)
    assert not path.exists()
    assert deleted(tmp_path) == [put_away]
    assert restore(put_away) == path
    assert path.read_text() == "x"
    assert deleted(tmp_path) == []


def test_the_latest_deleted_comes_first(tmp_path):
    paths = [delete(session(tmp_path, name)) for name in "abc"]
    for age_s, path in enumerate(reversed(paths)):
        os.utime(path, (time.time() - age_s, time.time() - age_s))
    assert deleted(tmp_path) == paths[::-1]


def test_two_of_one_name_are_both_kept(tmp_path):
    first, second = delete(session(tmp_path, text="1")), delete(session(tmp_path, text="2"))
    assert (first.read_text(), second.read_text()) == ("1", "2")


def test_a_name_that_is_taken_again_is_not_overwritten(tmp_path):
    put_away = delete(session(tmp_path, text="old"))
    session(tmp_path, text="new")
    with pytest.raises(SessionError, match="of this name again"):
        restore(put_away)
    assert (tmp_path / "a.toml").read_text() == "new"
    assert put_away.read_text() == "old"


def test_what_has_lain_for_a_month_is_removed_for_good(tmp_path):
    old = delete(session(tmp_path, "old"))
    os.utime(old, (time.time() - KEPT_S - 60,) * 2)
    new = delete(session(tmp_path, "new"))
    assert deleted(tmp_path) == [new]


def test_what_is_gone_cannot_be_deleted_or_brought_back(tmp_path):
    with pytest.raises(SessionError, match=r"a\.toml: cannot be deleted: No such file"):
        delete(tmp_path / "a.toml")
    with pytest.raises(SessionError, match=r"a\.toml: cannot be brought back: No such file"):
        restore(tmp_path / ".trash" / "a.toml")
