import getpass
import socket
import tempfile
from pathlib import Path

import pytest

from tuibench.store import redact as module
from tuibench.store.redact import redact


@pytest.fixture
def machine(monkeypatch):
    """Be somebody, somewhere."""

    def be(user="adalovelace", host="engine.example.org", home="/home/adalovelace", tmp="/tmp"):
        monkeypatch.setattr(getpass, "getuser", lambda: user)
        monkeypatch.setattr(socket, "gethostname", lambda: host)
        monkeypatch.setattr(tempfile, "gettempdir", lambda: tmp)
        monkeypatch.setenv("HOME", home)
        module.private_words.cache_clear()

    yield be
    module.private_words.cache_clear()


def test_folders_of_this_machine_become_marks():
    here, home = Path.cwd(), Path.home()
    text = redact(f"{home}/models/x {here}/tests/y.py {Path(module.__file__)}")
    assert str(home) not in text
    assert str(here) not in text
    assert "~/models/x" in text
    assert "/tuibench/store/redact.py" in text


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("connection of adalovelace lost", "connection of <user> lost"),
        ("adalovelace@engine.example.org: refused", "<user>@<host>: refused"),
        ("no route to engine", "no route to <host>"),
        ("/scratch/adalovelace/m: denied", "/scratch/<user>/m: denied"),
        ("c++ -I/home/adalovelace/x file:///tmp/y", "c++ -I~/x file://<tmp>/y"),
        ("engineer adalovelaces", "engineer adalovelaces"),
    ],
)
def test_host_and_user_names_become_marks(machine, said, kept):
    machine()
    assert redact(said) == kept


@pytest.mark.parametrize("user", ["root", "worker", "max"])
def test_a_name_that_is_a_word_leaves_sentences_alone(machine, user):
    machine(user=user, host="server", home="/root")
    said = "the worker needs a square root, roots of root, the server and the max"
    assert redact(said) == said


def test_a_short_folder_is_not_found_inside_of_others(machine):
    machine(user="root", home="/root")
    said = "/data/tmp/x /tmpfs ../tmp /srv/root/y /rootfs"
    assert redact(said) == said
    assert redact("/root/x, '/tmp/y'") == "~/x, '<tmp>/y'"


def test_other_text_stays():
    assert redact("RuntimeError: shape mismatch at 3 / 4") == "RuntimeError: shape mismatch at 3 / 4"
