"""A terminal that is gone ends the program, also where no signal says so."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def opened(folder, **variables):
    """Open the dashboard; yield its process and the far end of its terminal."""
    master, terminal = pty.openpty()
    environment = {
        **os.environ, "TERM": "xterm-256color", "TUIBENCH_CACHE": str(folder / "cache"),
        "TUIBENCH_SESSIONS": str(folder / "sessions"), "XDG_CONFIG_HOME": str(folder / "config"), **variables,
    }  # fmt: skip
    # Without a controlling terminal nobody sends it SIGHUP.
    program = subprocess.Popen(
        [sys.executable, "-m", "tuibench"], stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    try:
        yield program, master
    finally:
        program.kill()
        program.wait()


@pytest.mark.parametrize("name", ["SIGCONT", "SIGTSTP"])
def test_a_signal_amid_a_write_is_answered_after_it(tmp_path, name):
    """What writes holds the lock of its queue: whoever writes again from there waits for ever."""
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, signal, sys
if "tuibench" in sys.orig_argv:
    from textual.drivers import _writer_thread as module
    n_writes, write = 0, module.WriterThread.write
    def interrupted(self, text):
        global n_writes
        n_writes += 1
        if n_writes == 60:
            with self._queue.mutex:
                signal.raise_signal(signal.{name})
                print("answered", file=open({str(tmp_path / "answered")!r}, "w"))
        write(self, text)
    module.WriterThread.write = interrupted
""")
    with opened(tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}") as (program, master):
        while not (tmp_path / "answered").exists():
            os.read(master, 1 << 16)
        if name == "SIGTSTP":
            os.waitpid(program.pid, os.WUNTRACED)  # it gave the terminal back, and stopped
            program.send_signal(signal.SIGCONT)
        os.close(master)
        assert program.wait(120) == 130


def test_a_program_that_is_not_the_leader_of_its_session_ends_with_its_terminal(tmp_path):
    with opened(tmp_path) as (program, master):
        shown = b""
        while b"tuibench" not in shown:
            shown += os.read(master, 1 << 16)
        os.close(master)
        assert program.wait(120) == 130
