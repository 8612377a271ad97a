"""`tuibench run` with real workers on a tiny model, as a user starts it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from tests.caches import knowing_the_bandwidth
from tests.scripted_methods import provide, save_toy_model
from tuibench.cli import BAD_USAGE, OK, main
from tuibench.store.session import load


@pytest.fixture
def arguments(tiny_llama, tmp_path, warm_cache):  # noqa: ARG001 - the reference and its first steps are made once
    return [
        sys.executable, "-m", "tuibench", "run", "--model", str(tiny_llama.directory), "--prompt", "Hello",
        "--methods", "baseline,kv-cache", "--max-new-tokens", "12", "--trials", "1", "--threads", "1",
        "--output", str(tmp_path / "out"),
    ]  # fmt: skip


def test_a_run_prints_its_result_and_the_path_of_a_session_that_names_no_folder_or_host(arguments, tmp_path):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    headline, table, verdict, machine, recommendation = done.stdout.split("\n\n")
    # Either method may be the faster one on a model this small.
    assert re.match(r"cannot tell: measure again, because 1 trial of (kv-cache|baseline) is too few", headline)
    assert recommendation.startswith(headline)
    assert [line.split()[0] for line in table.splitlines()] == ["method", "baseline", "kv-cache"]
    assert "text identical" in verdict
    assert machine.startswith("read bandwidth with 1 thread: 20.0 GB/s\nbaseline: ")
    assert "of the CPU while it measured" in machine
    (path,) = (tmp_path / "out").glob("*.toml")
    assert done.stderr.splitlines()[-1] == str(path)
    session = load(path)
    measured = [trial for trial in session.trials if not trial.warmup]
    assert [trial.n_gen for trial in measured] == [12, 12]
    assert measured[0].token_ids == measured[1].token_ids
    text = path.read_text()
    assert str(tmp_path) not in text
    assert not re.search(rf"\b{re.escape(os.uname().nodename)}\b", text)


def test_a_model_type_that_nothing_can_run_is_refused_before_there_is_a_session(
    arguments, tiny_llama, tmp_path, capsys
):
    model = shutil.copytree(tiny_llama.directory, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "model_type": "llama9"}))
    assert main([*arguments[3:], "--model", str(model)]) == BAD_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"transformers [\d.]+ does not know the model type 'llama9' of model; ", line)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_control_is_measured_as_its_method_is_and_never_scored(arguments, tmp_path, capfdbinary):
    done = subprocess.run([*arguments, "--control"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    control = "kv-cache again"
    assert re.search(rf"^{re.escape(control)}: [\d.]+× kv-cache, the same method ", done.stdout, re.MULTILINE)
    (path,) = (tmp_path / "out").glob("*.toml")
    session = load(path)
    assert session.header.settings.methods == ("baseline", "kv-cache", control)
    tokens = {trial.method: trial.token_ids for trial in session.trials if not trial.warmup}
    assert tokens[control] == tokens["kv-cache"]
    assert {record.method for record in session.quality} == {"kv-cache", "baseline"}
    for output in ("md", "csv", "json", "html", "svg", "benchstat"):
        assert main(["export", str(path), "--format", output]) == OK
        shown = capfdbinary.readouterr().out.decode()
        assert ("kv-cache_again" if output == "benchstat" else control) in shown


def test_lines_for_programs_are_only_that_and_quality_is_measured_on_the_users_text(arguments, tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 30, encoding="utf-8")
    command = [*arguments, "--eval-file", str(text), "--format", "jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    measured = sorted(line["method"] for line in lines if "index" in line)  # trials of a round end in any order
    assert measured == ["baseline", "baseline", "kv-cache", "kv-cache"]
    assert [line["method"] for line in lines if "eval_name" in line] == ["kv-cache", "baseline"]
    (path,) = (tmp_path / "out").glob("*.toml")
    assert [record.method for record in load(path).quality] == ["kv-cache", "baseline"]
    assert {record.eval_name for record in load(path).quality} == {"mine.txt"}


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """The beginning of a command that measures a method without a model library, and loads no text to score."""
    for name, value in provide(tmp_path / "installed").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TUIBENCH_CACHE", str(knowing_the_bandwidth(tmp_path / "cache")))
    return [
        sys.executable, "-m", "tuibench", "run", "--model", str(save_toy_model(tmp_path / "toy")), "--methods", "sound",
        "--max-new-tokens", "4", "--trials", "1", "--threads", "1", "--no-quality", "--output", str(tmp_path / "out"),
    ]  # fmt: skip


def test_an_object_for_programs_is_only_that(scripted):
    done = subprocess.run(
        [*scripted, "--prompt", "a b", "--format", "json"], capture_output=True, text=True, check=True
    )
    (method,) = json.loads(done.stdout)["methods"]
    assert method["status"] == "done"
    assert method["metrics"]["decode_tps"]["n"] == 1


def test_quality_is_left_out_when_it_is_not_wanted(scripted, tmp_path):
    done = subprocess.run([*scripted, "--prompt", "a b"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out").glob("*.toml")
    assert load(path).quality == ()
    assert "quality not measured" in done.stdout


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--eval-file", "/nowhere/text"], "cannot be read"), (["--no-quality", "--eval-file", "x"], "--no-quality")],
)
def test_a_text_that_cannot_serve_is_bad_usage_before_anything_is_measured(arguments, more, words):
    done = subprocess.run([*arguments, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert words in done.stderr


def test_sampling_is_recorded_and_repeatable(arguments, tmp_path):
    options = [
        "--methods",
        "kv-cache",
        "--temperature",
        "0.8",
        "--top-k",
        "20",
        "--seed",
        "7",
        "--warmup",
        "0",
        "--no-quality",
    ]
    texts = []
    for _ in range(2):
        done = subprocess.run([*arguments, *options], capture_output=True, text=True, check=True)
        session = load(type(tmp_path)(done.stderr.splitlines()[-1]))
        assert session.header.settings.sampling.top_k == 20
        texts.append(session.trials[0].text)
    assert texts[0] == texts[1]


@pytest.fixture
def own_model(arguments, tiny_llama, tmp_path):
    """A copy of the model to change, and the command that measures it."""
    folder = shutil.copytree(tiny_llama.directory, tmp_path / "own")
    return folder, [str(folder) if word == str(tiny_llama.directory) else word for word in arguments]


def test_a_prompt_that_the_model_does_not_read_is_told_while_it_runs_and_afterwards(own_model, tmp_path):
    folder, command = own_model
    (folder / "chat_template.jinja").write_text("<|im_start|>assistant\n")
    command += ["--methods", "kv-cache", "--no-quality"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    doubt = 'the model does not read these words of the prompt: "hello": its chat template leaves them out'
    assert done.stderr.count(doubt) == 1
    (path,) = (tmp_path / "out").glob("*.toml")
    assert all(doubt in trial.validity[0] for trial in load(path).trials)
    assert doubt in done.stdout


def test_tokens_that_the_model_lacks_fail_their_rows_in_one_line(own_model):
    folder, command = own_model
    (folder / "special_tokens_map.json").write_text('{"pad_token": "<|pad|>"}')
    command += ["--methods", "kv-cache", "--no-quality", "--raw", "--prompt", "a<|pad|>"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"kv-cache.*bad-input.*'<\|pad\|>' has the id 384, .* only 384 rows", done.stdout)


def test_a_mark_at_the_beginning_of_a_file_is_not_read(scripted, tmp_path):
    read = []
    for mark in ("", "\ufeff"):
        (tmp_path / "prompt.txt").write_text(f"{mark}a b", encoding="utf-8")
        command = [*scripted, "--prompt-file", str(tmp_path / "prompt.txt")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        read.append(load(type(tmp_path)(done.stderr.splitlines()[-1])).prompt_read)
    assert read[0] is not None
    assert read[0] == read[1]


def test_an_interrupted_run_saves_what_is_finished_and_leaves_no_process(arguments, tmp_path):
    """Other signals, and more than one: `test_run_faults`, whose methods are scripted."""
    command = [*arguments, "--max-new-tokens", "100000", "--trials", "1000", "--methods", "kv-cache"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in run.stderr:  # the warm-up is over when the first trial is announced
        if line.startswith("trial 1/"):
            break
    children = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGINT)
    _, stderr = run.communicate(timeout=300)
    assert run.returncode == 130
    session = load(type(tmp_path)(stderr.splitlines()[-1]))
    assert session.trials[0].warmup
    assert not psutil.wait_procs(children, timeout=120)[1]
