"""`tuibench pick` with real workers, as a user starts it."""

import json
import os
import subprocess
import sys

import pytest

from tests.scripted_methods import provide, save_toy_model
from tuibench.machine.bandwidth import remember
from tuibench.store.session import load


@pytest.fixture
def pick(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    remember(1, 20_000_000_000)

    def start(model, *arguments, **environment):
        command = [
            sys.executable, "-m", "tuibench", "pick", "--model", str(model), "--prompt", "a b", "--threads", "1",
            "--output", str(tmp_path / "out"), *arguments,
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})

    return start


@pytest.fixture
def scripted(tmp_path):
    points = provide(tmp_path / "packages", slower="scripted_engine:Slower")
    return {"model": save_toy_model(tmp_path / "toy"), "TUIBENCH_TEST_STEP_S": "0.002", **points}


def only_session(tmp_path):
    (path,) = (tmp_path / "out").glob("*.toml")
    return load(path)


def test_what_cannot_win_has_one_trial_and_the_answer_an_interval(pick, scripted, tmp_path):
    done = pick(
        scripted.pop("model"), "--methods", "sound,slower,faulty", "--no-quality", "--max-new-tokens", "8",
        **scripted, TUIBENCH_TEST_FAULT="load:exception",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer, *others = done.stdout.split("\n\n")[0].splitlines()
    assert answer.startswith("take sound: the fastest with no limits: ")
    assert "[" in answer
    told = dict(line.split(maxsplit=1) for line in others)
    assert "× sound" in told["slower"]
    assert "it broke" in told["faulty"]
    session = only_session(tmp_path)
    measured = [trial.method for trial in session.trials if not trial.warmup and not trial.failed]
    assert measured.count("slower") == 1
    assert measured.count("sound") >= 3
    assert session.quality == ()


def test_limits_that_no_method_keeps_end_with_code_1(pick, scripted):
    done = pick(
        scripted.pop("model"), "--methods", "sound,slower", "--no-quality", "--max-new-tokens", "8", "--min-decode",
        "1e6", "--format", "json", **scripted,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["method"] is None
    assert not told["certain"]
    assert all("below" in why for why in told["out"].values())


def test_quality_is_measured_of_what_may_win_and_a_search_that_is_over_is_not_measured_again(
    pick, tiny_llama, tmp_path
):
    limits = ("--max-kld", "1e-5", "--methods", "onnx-fused,int8-dynamic", "--max-new-tokens", "8")
    done = pick(tiny_llama.directory, *limits)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("take onnx-fused: the fastest with KLD ≤ 1e-05: ")
    session = only_session(tmp_path)
    scored = [record.method for record in session.quality]
    assert scored.count("onnx-fused") == 1
    resumed = pick(tiny_llama.directory, "--resume", "last")
    assert (resumed.returncode, resumed.stdout) == (0, done.stdout)
    assert only_session(tmp_path).trials == session.trials


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--max-rss", "600", "'600' is not a size such as 600MB"),
        ("--max-ttft", "fast", "'fast' is not a time such as 200ms"),
        ("--max-kld", "-1", "-1 is not a divergence"),
        ("--min-decode", "nan", "nan is not a number of tokens per second"),
    ],
)
def test_a_limit_that_is_none_is_refused_in_a_line(pick, tmp_path, option, value, words):
    done = pick(tmp_path, f"{option}={value}")
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


def test_a_session_of_a_run_is_not_a_search_to_go_on_with(pick, tiny_llama, tmp_path):
    run = [
        sys.executable, "-m", "tuibench", "run", "--model", str(tiny_llama.directory), "--prompt", "a b", "--threads",
        "1", "--output", str(tmp_path / "out"), "--methods", "kv-cache", "--trials", "1", "--no-quality",
        "--max-new-tokens", "2",
    ]  # fmt: skip
    assert subprocess.run(run, capture_output=True, check=False).returncode == 0
    done = pick(tiny_llama.directory, "--resume", "last", "--no-quality")
    assert done.returncode == 2
    assert "`tuibench run --resume` goes on with it" in done.stderr
