"""A child is tied to its parent, whatever it finds on its path."""

import subprocess
import sys

from tuibench.models.tether import tethered


def test_an_interpreter_that_does_not_find_tuibench_ties_a_child_all_the_same(tmp_path, monkeypatch):
    # As in a worker on another runtime's interpreter that starts what only our own can do, from any folder.
    monkeypatch.setattr(sys, "executable", sys._base_executable)
    found = subprocess.run(
        [sys.executable, "-c", "import tuibench"], cwd=tmp_path, env={}, stderr=subprocess.DEVNULL, check=False
    )
    assert found.returncode == 1
    done = subprocess.run(
        tethered(["/bin/sh", "-c", "echo $WORD"]), cwd=tmp_path, env={"WORD": "tied"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("tied\n", "")
