"""Time to list a thousand sessions, by the dashboard and the command line: read the first time, and known from then on.

python -m tests.bench.list_sessions [N [N_KNOWN]]
"""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tuibench import paths
from tuibench.store.catalogue import list_sessions
from tuibench.ui.app import TuibenchApp
from tuibench.ui.screens.sessions import SessionsScreen


def cpu_s():
    """Of this process and of those that it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(label, work):
    started_s, started_cpu_s = time.perf_counter(), cpu_s()
    work()
    report(label, started_s, started_cpu_s)


def report(label, started_s, started_cpu_s):
    """CPU time is what it takes on a machine with nothing else to do."""
    wall_s = time.perf_counter() - started_s
    print(f"{label:<32} {wall_s:6.3f} s, {cpu_s() - started_cpu_s:6.3f} s of CPU", flush=True)


def command():
    """From the prompt until the list is written, the interpreter's start included."""
    subprocess.run([sys.executable, "-m", "tuibench", "sessions"], stdout=subprocess.DEVNULL, check=True)


def _shows(app, n):
    screen = app.screen  # mounted some time after it is the screen
    return isinstance(screen, SessionsScreen) and screen.is_mounted and screen.table.n_rows >= n


async def on_the_screen(n, *labels):
    """From the key until all rows are in the table."""
    app = TuibenchApp(model="none")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        for label in labels:
            started_s, started_cpu_s = time.perf_counter(), cpu_s()
            app.simulate_key("f3")  # a pilot would wait until the screen is at rest: until more files were read
            while not _shows(app, n):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.005)
            report(label, started_s, started_cpu_s)
            await pilot.press("f2")
            await pilot.pause(0.5)


def main():
    n, n_known = [*map(int, sys.argv[1:]), *(1000, 10_000)[len(sys.argv) - 1 :]]
    sample = paths.sample_sessions() / "sample-first-look.toml"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "sessions")
        folder.mkdir()
        for number in range(n):
            shutil.copy(sample, folder / f"session-{number:05d}.toml")
        os.environ |= {"TUIBENCH_SESSIONS": str(folder), "TUIBENCH_CACHE": str(Path(scratch, "cache"))}
        index = paths.session_index()
        timed("headers, nothing known", lambda: list_sessions([folder], index=index, n_read=0))
        timed("whole files", lambda: list_sessions([folder], index=index))
        timed("all known", lambda: list_sessions([folder], index=index))
        index.unlink()
        timed("command, nothing known", command)
        timed("command, all known", command)
        asyncio.run(on_the_screen(n + 1, "screen, opened", "screen, opened again"))
        index.unlink()
        asyncio.run(on_the_screen(n + 1, "screen, nothing known"))
        for number in range(n, n_known):
            (folder / f"session-{number:05d}.toml").hardlink_to(folder / "session-00000.toml")
        list_sessions([folder], index=index)
        timed(f"all known of {n_known:,}", lambda: list_sessions([folder], index=index))
        timed(f"command, all known of {n_known:,}", command)


if __name__ == "__main__":
    main()
