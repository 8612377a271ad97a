import getpass
import socket
from pathlib import Path

from tuibench.store import redact as module
from tuibench.store.redact import redact


def test_folders_of_this_machine_become_marks():
    here, home = Path.cwd(), Path.home()
    text = redact(f"{home}/models/x {here}/tests/y.py {Path(module.__file__)}")
    assert str(home) not in text
    assert str(here) not in text
    assert "~/models/x" in text
    assert "/tuibench/store/redact.py" in text


def test_host_and_user_names_become_marks():
    for name in (socket.gethostname(), getpass.getuser()):
        assert name not in redact(f"connection of {name} lost") or len(name) < 4


def test_other_text_stays():
    assert redact("RuntimeError: shape mismatch at 3 / 4") == "RuntimeError: shape mismatch at 3 / 4"
