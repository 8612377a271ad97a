"""Time to list a thousand sessions: read the first time, and known from then on.

python -m tests.bench.list_sessions [N]
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tuibench import paths
from tuibench.store.catalogue import list_sessions
from tuibench.ui.app import TuibenchApp
from tuibench.ui.screens.sessions import SessionsScreen


def timed(label, work):
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    work()
    report(label, started_s, started_cpu_s)


def report(label, started_s, started_cpu_s):
    """CPU time is what it takes on a machine with nothing else to do."""
    wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    print(f"{label:<24} {wall_s:6.3f} s, {cpu_s:6.3f} s of CPU")


async def on_the_screen(n, *labels):
    """From the key until all rows are in the table."""
    app = TuibenchApp(model="none")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        for label in labels:
            started_s, started_cpu_s = time.perf_counter(), time.process_time()
            app.simulate_key("f3")  # a pilot would wait until the screen is at rest: until more files were read
            while not isinstance(app.screen, SessionsScreen) or app.screen.table.n_rows < n:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.005)
            report(label, started_s, started_cpu_s)
            await pilot.press("f2")
            await pilot.pause(0.5)


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    (sample,) = paths.sample_sessions().glob("*.toml")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "sessions")
        folder.mkdir()
        for number in range(n):
            shutil.copy(sample, folder / f"session-{number:04d}.toml")
        os.environ |= {"TUIBENCH_SESSIONS": str(folder), "TUIBENCH_CACHE": str(Path(scratch, "cache"))}
        index = paths.session_index()
        timed("headers, nothing known", lambda: list_sessions([folder], index=index, n_read=0))
        timed("whole files", lambda: list_sessions([folder], index=index))
        timed("all known", lambda: list_sessions([folder], index=index))
        asyncio.run(on_the_screen(n + 1, "screen, opened", "screen, opened again"))
        index.unlink()
        asyncio.run(on_the_screen(n + 1, "screen, nothing known"))


if __name__ == "__main__":
    main()
