"""Environments of runtimes: one that is really installed, and all that may come between."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest
from filelock import FileLock

from tuibench import paths
from tuibench.cli import main
from tuibench.methods import available_methods, resolve_methods
from tuibench.runtimes.catalogue import RUNTIMES
from tuibench.runtimes.environment import (
    RuntimeProblemError,
    add,
    find_environment,
    installed,
    methods_here,
    missing,
    remove,
)
from tuibench.store.session import load

NAME = "llama-cpp"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "runtimes"


@pytest.fixture(scope="session")
def real_runtime(tmp_path_factory):
    """The cache folder of an environment that comes from the package index."""
    folder = tmp_path_factory.mktemp("runtime-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUIBENCH_CACHE", str(folder))
        lines = []
        environment, made = add(NAME, lines.append)
        assert made
        assert any(line.startswith("Successfully installed") for line in lines)
        assert environment.current
    return folder


@pytest.fixture
def installed_runtime(real_runtime, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(real_runtime))
    return find_environment(NAME)


def test_its_interpreter_has_our_worker_and_few_packages(installed_runtime):
    script = (
        "import sys, tuibench.worker.serve, importlib.util as u, importlib.metadata as m;"
        "print(sys.prefix, u.find_spec('torch') is None, u.find_spec('textual') is None, m.version('tuibench'))"
    )
    from tuibench.runtimes.environment import runtime_variables

    done = subprocess.run(
        [installed_runtime.python, "-c", script],
        env=os.environ | runtime_variables(),
        capture_output=True,
        text=True,
        check=True,
    )
    prefix, *no_libraries, version = done.stdout.split()
    assert prefix == str(installed_runtime.directory)
    assert no_libraries == ["True", "True"]
    assert version == __import__("tuibench").__version__


def test_adding_again_finds_it(installed_runtime):
    environment, made = add(NAME, lambda _: None)
    assert not made
    assert environment.directory == installed_runtime.directory
    assert missing(NAME) is None
    assert installed() == {NAME}
    assert all(method.problem is None for method in methods_here().values() if method.runtime in {None, NAME})


@pytest.mark.usefixtures("installed_runtime")
def test_list_and_check_tell_size_and_instruction_sets(capsys):
    assert main(["runtimes"]) == 0
    listed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [name for name, *_ in listed] == list(RUNTIMES)
    name, state, size, packages = listed[0]
    assert (name, state) == (NAME, "installed")
    assert re.fullmatch(r"\d{3} MiB", size)
    assert packages.startswith("xllamacpp==")
    assert main(["runtimes", "check", NAME]) == 0
    assert re.search(r"xllamacpp [\d.]+, ggml .*\(.*[A-Z]", capsys.readouterr().out)


@pytest.mark.usefixtures("installed_runtime")
def test_a_method_is_measured_in_it_and_scored_against_our_reference(tiny_llama, tmp_path):
    words = ["--model", str(tiny_llama.directory), "--methods", "kv-cache,llama-cpp-q8_0", "--output", str(tmp_path)]
    assert main(["run", *words, "--trials", "1", "--max-new-tokens", "8", "--threads", "1", "--quality"]) == 0
    (path,) = tmp_path.glob("*.toml")
    session = load(path)
    quality = {each.method: each for each in session.quality}
    assert 0 < quality["llama-cpp-q8_0"].kld_mean < 0.01
    trial = next(each for each in session.trials if each.method == "llama-cpp-q8_0" and not each.warmup)
    assert trial.n_gen == 8
    assert "flash attention" in path.read_text()


def test_a_missing_runtime_is_a_row_that_names_the_command(cache, tiny_llama, tmp_path):
    words = ["--model", str(tiny_llama.directory), "--methods", "llama-cpp-q8_0", "--output", str(tmp_path / "out")]
    assert main(["run", *words, "--trials", "1", "--max-new-tokens", "4"]) == 1
    (path,) = (tmp_path / "out").glob("*.toml")
    (failed,) = [each for each in load(path).trials if each.method == "llama-cpp-q8_0"]
    assert failed.failure_kind.value == "unsupported"
    assert "`tuibench runtimes add llama-cpp`" in failed.failure_message
    assert methods_here()["llama-cpp-q8_0"].problem == failed.failure_message
    assert not cache.joinpath(NAME).exists()


def test_groups_of_methods(cache):
    del cache
    of_llama_cpp = {"llama-cpp-f16", "llama-cpp-q8_0", "llama-cpp-q4_0", "llama-cpp-q4_k_m"}
    others = {"genai-fp32", "genai-int4", "openvino-fp32", "openvino-int8", "openvino-int4"}
    others |= {"ctranslate2-fp32", "ctranslate2-int8"}
    peers = of_llama_cpp | others
    ladder = [name for name, method in available_methods().items() if not (method.runtime or method.named_only)]
    assert set(resolve_methods("peers")) == peers  # and not the one that needs a file of the user's
    assert list(resolve_methods("ladder")) == list(resolve_methods("all")) == ladder
    assert set(resolve_methods("ladder,peers")) == {*ladder, *peers}
    assert set(resolve_methods("all", runtimes={NAME})) == {*ladder, *of_llama_cpp}
    assert resolve_methods("kv-cache,llama-cpp-file") == ("kv-cache", "llama-cpp-file")


def test_without_an_index_one_line_says_what_helps(cache, monkeypatch, capsys):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert main(["runtimes", "add", NAME]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("tuibench: it cannot be installed: No matching distribution found for xllamacpp==")
    assert "PIP_FIND_LINKS" in last
    assert not cache.joinpath(NAME).exists()
    assert list(cache.joinpath(".staging").iterdir()) == []


def test_two_at_once_wait_for_each_other(cache):
    lock = FileLock(cache / ".locks" / f"{NAME}.lock")
    cache.joinpath(".locks").mkdir(parents=True)
    cache.joinpath(".staging", NAME).mkdir(parents=True)
    heard, waits = [], threading.Event()

    def hear(line):
        heard.append(line)
        waits.set()
        raise KeyboardInterrupt

    with lock:
        with pytest.raises(KeyboardInterrupt):
            add(NAME, hear)
        with pytest.raises(RuntimeProblemError, match="is being installed at the moment"):
            remove(NAME)
    assert heard == ["waiting for another installation of it"]
    assert remove(NAME) == 0
    assert remove(NAME) is None


def test_killed_half_way_it_leaves_no_environment_and_no_child(cache, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an index that never answers
        variables = {
            **os.environ,
            "TUIBENCH_CACHE": str(tmp_path / "cache"),
            "PIP_INDEX_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/simple",
            "PIP_CONFIG_FILE": os.devnull,
        }
        command = [sys.executable, "-m", "tuibench", "runtimes", "add", NAME]
        process = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
        connection, _ = silent.accept()  # pip asks: the environment is half made
        assert cache.joinpath(".staging", NAME, "bin", "python").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        while connection.recv(1 << 16):  # ends when pip, too, is gone
            pass
        connection.close()
    assert find_environment(NAME) is None
    assert "is not installed" in missing(NAME)
    assert remove(NAME) > 0
    assert not cache.joinpath(".staging", NAME).exists()


def test_another_versions_environment_is_not_used(installed_runtime, cache):
    del cache
    folder = paths.runtimes_dir() / NAME
    folder.mkdir(parents=True)
    (folder / "bin").symlink_to(installed_runtime.directory / "bin")
    record = (installed_runtime.directory / "tuibench-runtime.json").read_text()
    (folder / "tuibench-runtime.json").write_text(record.replace("xllamacpp==2026", "xllamacpp==2025"))
    assert not find_environment(NAME).current
    assert "is installed in versions of another tuibench" in missing(NAME)
    assert installed() == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "sglang"], "unknown runtime 'sglang'; known: llama-cpp"),
        (["add"], "which runtime? Known: llama-cpp"),
        (["rm", "llama-cpp"], "llama.cpp is not installed"),
    ],
)
@pytest.mark.usefixtures("cache")
def test_bad_usage(words, said, capsys):
    assert main(["runtimes", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("cache")
def test_checking_what_is_not_there_fails(capsys):
    assert main(["runtimes", "check"]) == 1
    assert "`tuibench runtimes add llama-cpp`" in capsys.readouterr().err
