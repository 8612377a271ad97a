"""A terminal that is gone ends the program, also where no signal says so."""

import os
import pty
import subprocess
import sys


def test_a_program_that_is_not_the_leader_of_its_session_ends_with_its_terminal(tmp_path):
    master, terminal = pty.openpty()
    environment = {
        **os.environ, "TERM": "xterm-256color", "TUIBENCH_CACHE": str(tmp_path / "cache"),
        "TUIBENCH_SESSIONS": str(tmp_path / "sessions"), "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }  # fmt: skip
    # Without a controlling terminal nobody sends it SIGHUP.
    program = subprocess.Popen(
        [sys.executable, "-m", "tuibench"], stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    try:
        shown = b""
        while b"tuibench" not in shown:
            shown += os.read(master, 1 << 16)
        os.close(master)
        assert program.wait(120) == 130
    finally:
        program.kill()
        program.wait()
