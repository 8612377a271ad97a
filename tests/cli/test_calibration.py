"""`tuibench run --calibration`: another text is another artifact, and what is wrong with it is told per method."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from tests.caches import knowing_the_bandwidth
from tuibench.core.run.events import FailureKind, Phase
from tuibench.store.session import load


@pytest.fixture
def run(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(knowing_the_bandwidth(tmp_path / "cache")))

    def start(*options):
        command = [
            sys.executable, "-m", "tuibench", "run", "--model", str(tiny_llama.directory), "--prompt", "Hello",
            "--methods", "int8-static,onnx-fused", "--max-new-tokens", "4", "--trials", "1", "--warmup", "0",
            "--threads", "1", "--no-quality", "--output", str(tmp_path / "out"), *options,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        sessions = list((tmp_path / "out").glob("*.toml"))
        return done, load(sessions[0]) if sessions else None

    return start


def test_own_text_and_ranges_are_used_and_stored_without_their_folder(run, tmp_path):
    text = tmp_path / "own.txt"
    text.write_text("Numbers such as 1, 2, 3 and 3.14159; dates such as 2024-05-06. " * 60)
    done, session = run("--calibration", str(text), "--calibration-ranges", "percentile", "--methods", "int8-static")
    assert done.returncode == 0, done.stderr
    facts = next(trial for trial in session.trials if trial.method == "int8-static").facts
    digest = hashlib.sha256(text.read_bytes()).hexdigest()
    assert any(f"own.txt (sha256 {digest[:12]}…), " in fact and fact.endswith(", percentile") for fact in facts), facts
    (path,) = (tmp_path / "out").glob("*.toml")
    assert str(tmp_path) not in path.read_text()


def test_short_text_is_a_failed_row_with_phase_and_reason_and_the_others_go_on(run, tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("Too short.")
    done, session = run("--calibration", str(text))
    assert done.returncode == 1
    failed, measured = sorted(session.trials, key=lambda trial: not trial.failed)
    assert (failed.method, failed.failure_kind, failed.failure_phase) == (
        "int8-static", FailureKind.BAD_INPUT, Phase.PREPARE,
    )  # fmt: skip
    assert "short.txt has" in failed.failure_message
    assert "at least 256 are needed" in failed.failure_message
    assert (measured.method, measured.n_gen) == ("onnx-fused", 4)
    assert not list((tmp_path / "cache" / "artifacts").glob("int8-static*"))
    assert not list((tmp_path / "cache" / "artifacts" / ".staging").glob("*"))


def test_missing_text_is_refused_before_anything_runs(run, tmp_path):
    done, session = run("--calibration", str(tmp_path / "none.txt"))
    assert (done.returncode, session) == (2, None)
    assert "none.txt: cannot be read" in done.stderr
