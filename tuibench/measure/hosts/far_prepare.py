"""Makes room for tuibench on a host that has none: sent there as text, run by whatever Python 3.11 or newer is there.

Orders come as JSON lines on standard input, some followed by bytes; each has one JSON line as its answer. Everything
lies in tuibench's cache folder there, and only the standard library is used.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

_CHUNK = 1 << 20
_NOTHING = subprocess.DEVNULL
_MARK = "tuibench-wheel.sha256"


def cache_folder():
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.path.expanduser(os.environ.get("TUIBENCH_CACHE") or home / "tuibench"))  # noqa: PTH111


def look(cache):
    cache.mkdir(parents=True, exist_ok=True)
    mark = cache / "host-env" / _MARK
    return {
        "python": list(sys.version_info[:3]),
        "free_bytes": shutil.disk_usage(cache).free,
        "wheel": mark.read_text() if mark.is_file() else None,
    }


def take(cache, stdin, answer, order):
    """Take a file: what an earlier attempt left stays, and the whole is verified."""
    target, part = cache / order["path"], cache / (order["path"] + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file() and sha256(target) == order["sha256"]:
        return {"from": order["n_bytes"]}
    start = part.stat().st_size if part.is_file() else 0
    start = start if start < order["n_bytes"] else 0
    answer({"from": start})
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        left = order["n_bytes"] - start
        while left:
            chunk = stdin.read(min(_CHUNK, left))
            if not chunk:
                sys.exit("the connection is lost")
            file.write(chunk)
            left -= len(chunk)
        file.flush()
        os.fsync(file.fileno())
    if sha256(part) != order["sha256"]:
        part.unlink()
        return {"error": "it arrived damaged: prepare the host again"}
    part.replace(target)
    return {}


def sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install(cache, order):
    """Install the wheel into an environment of its own, with what it needs from the host's own package index."""
    folder = cache / "host-env"
    python = folder / "bin" / "python"
    if not python.exists():
        made = run([sys.executable, "-m", "venv", str(folder)])
        if made:
            return {"error": f"no environment can be made ({made}): install Python's venv module there"}
    mark = folder / _MARK
    mark.unlink(missing_ok=True)
    options = ["--quiet", "--no-input", "--disable-pip-version-check"]
    wheel = str(cache / order["path"])
    for more in ([], ["--no-deps", "--force-reinstall"]):  # the second is for another build of the same version
        failed = run([str(python), "-m", "pip", "install", *options, *more, wheel])
        if failed:
            return {"error": f"pip could not install it there: {failed}"}
    mark.write_text(order["sha256"])
    return {}


def run(command):
    """Return the last line of what a command that failed wrote; empty if it did not fail."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    return (lines[-1] if lines else f"exit code {done.returncode}") if done.returncode else ""


def ask(order):
    """Return what the tuibench that is installed answers: one JSON line."""
    command = [*order["python"], "-m", "tuibench.measure.hosts.place", *order["words"]]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode:
        return {"error": lines[-1] if lines else f"exit code {done.returncode}"}
    return json.loads(done.stdout)


def main():
    """Follow orders until there are no more."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value):
        out.write(json.dumps(value) + "\n")
        out.flush()

    stdin, cache = sys.stdin.buffer, cache_folder()
    answer({"ready": True})
    for line in iter(stdin.readline, b""):
        order = json.loads(line)
        try:
            match order["do"]:
                case "look":
                    answer(look(cache))
                case "take":
                    answer(take(cache, stdin, answer, order))
                case "install":
                    answer(install(cache, order))
                case "ask":
                    order["python"] = [os.path.expanduser(order["python"] or str(cache / "host-env/bin/python"))]  # noqa: PTH111
                    answer(ask(order))
        except OSError as error:
            answer({"error": f"{error.strerror}: {error.filename}"})


main()
