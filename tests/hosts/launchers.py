"""Launchers as scripts: what ssh, kubectl and docker do with their words, without another machine."""

import stat
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def script(folder, name, text):
    """Return an executable file."""
    path = Path(folder) / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def like_ssh(folder):
    """Hands its words to a shell, joined by blanks, as sshd does; what it logs in to greets."""
    return script(folder, "ssh", '#!/bin/sh\necho Welcome!\nshift\nexec sh -c "$*"\n')


def like_kubectl(folder):
    """Starts the command elsewhere and passes bytes on; when it is killed the command stays, with its input closed."""
    return script(
        folder,
        "kubectl",
        f"""#!{sys.executable}
import os, subprocess, sys, threading
words = sys.argv[sys.argv.index("--") + 1:]
there = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
def back():
    while chunk := os.read(there.stdout.fileno(), 65536):
        os.write(1, chunk)
    os._exit(there.wait())
threading.Thread(target=back, daemon=True).start()
while chunk := os.read(0, 65536):
    there.stdin.write(chunk)
    there.stdin.flush()
there.stdin.close()
there.wait()
""",
    )
