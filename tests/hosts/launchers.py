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


def like_docker(folder):
    """Has a daemon start the command; when the client is killed the command stays, and its input stays open, too."""
    return script(
        folder,
        "docker",
        f"""#!{sys.executable}
import os, signal, subprocess, sys, threading
words = sys.argv[sys.argv.index("-i") + 2:]
down, up = os.pipe(), os.pipe()
def copy(source, target):
    while chunk := os.read(source, 65536):
        try:
            os.write(target, chunk)
        except BrokenPipeError:
            pass
daemon = os.fork()
if daemon == 0:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    os.close(down[1])
    os.close(up[0])
    there = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    signal.signal(signal.SIGUSR1, lambda *_: there.stdin.close())
    threading.Thread(target=copy, args=(down[0], there.stdin.fileno()), daemon=True).start()
    copy(there.stdout.fileno(), up[1])
    os._exit(there.wait())
os.close(down[0])
os.close(up[1])
def forward():
    copy(0, down[1])
    os.kill(daemon, signal.SIGUSR1)  # the client says that its input has ended, where it lives to say so
threading.Thread(target=forward, daemon=True).start()
copy(up[0], 1)
""",
    )


def cut_off_after(folder):
    """Passes on so many bytes of its input to the launcher that follows, and then ends that."""
    return script(
        folder,
        "cut-off",
        f"""#!{sys.executable}
import os, subprocess, sys
there = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE)
left = int(sys.argv[1])
while left and (chunk := os.read(0, min(left, 65536))):
    there.stdin.write(chunk)
    there.stdin.flush()
    left -= len(chunk)
there.stdin.close()
sys.exit(there.wait())
""",
    )
