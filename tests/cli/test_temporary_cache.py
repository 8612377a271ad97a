import os
import subprocess
import sys

from tests.permissions import obey_modes
from tuibench.cli.temporary_cache import writable_cache

PROGRAM = """
import os
from tuibench import paths
from tuibench.cli.temporary_cache import writable_cache
from tuibench.models.artifacts import cached_artifacts, remove_artifacts
from tuibench.models.cache import find_cached, remove_cached
with writable_cache():
    print((paths.models_dir() / "one" / "weights").read_text(), sorted(os.listdir(paths.artifacts_dir())))
    (paths.artifacts_dir() / "made").mkdir()
    remove_cached("one")
    remove_artifacts()
    folder = paths.cache_dir()
print(folder.exists(), paths.cache_dir())
"""


def test_what_is_in_a_cache_that_cannot_be_written_is_used_and_not_removed(tmp_path):
    for each in ("models/one", "models/.staging", "artifacts/graph"):
        (tmp_path / each).mkdir(parents=True)
    (tmp_path / "models/one/weights").write_text("w")
    (tmp_path / "models/one/tuibench-model.json").write_text("{}")
    tmp_path.chmod(0o500)
    environment = os.environ | {"TUIBENCH_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        preexec_fn=obey_modes,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"w ['graph']\nFalse {tmp_path}\n", done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "models/one/weights").exists()
    assert (tmp_path / "artifacts/graph").exists()


def test_a_cache_that_can_be_written_is_used_as_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "new"))
    with writable_cache():
        assert os.environ["TUIBENCH_CACHE"] == str(tmp_path / "new")
    assert capsys.readouterr() == ("", "")
