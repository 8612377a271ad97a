"""`tuibench chat`: piped in as by a script, and typed as by a person."""

import os
import subprocess
import sys

import pexpect
import pytest

from tests.deploy.alone import PROMPT, transformers_answer
from tests.scripted_methods import provide, save_toy_model
from tuibench.core.format import printable

COMMAND = [sys.executable, "-m", "tuibench", "chat"]


@pytest.fixture
def toy(tmp_path):
    model = save_toy_model(tmp_path / "toy")
    env = {**os.environ, **provide(tmp_path / "installed"), "TUIBENCH_CACHE": str(tmp_path / "cache")}
    return model, env


def piped(lines, method, model, *options, env=None):
    command = [*COMMAND, method, "--model", str(model), *options]
    return subprocess.run(command, input=lines.encode(), capture_output=True, env=env, check=False)


def test_a_conversation_is_what_transformers_answers_and_keeps_what_was_said(tiny_llama, tmp_path):
    _, _, text = transformers_answer(tiny_llama.directory, raw=False, n_new=24)
    env = {**os.environ, "TUIBENCH_CACHE": str(tmp_path / "cache")}
    lines = f"{PROMPT}\n/clear\n{PROMPT}\n"
    done = piped(lines, "kv-cache", tiny_llama.directory, "--max-new-tokens", "24", "--threads", "1", env=env)
    assert done.returncode == 0, done.stderr
    shown = printable(text)  # no terminal acts on what a model writes
    assert done.stdout.decode() == f"{shown}\n{shown}\n"
    figures = [line for line in done.stderr.decode().splitlines() if line.startswith("[TTFT ")]
    assert len(figures) == 2
    assert all("tok/s · " in line for line in figures)
    assert "kept in the cache" not in figures[0]
    assert "prompt tokens kept in the cache" in figures[1]


def test_a_model_without_a_chat_template_goes_on_with_the_text(toy):
    model, env = toy
    done = piped("a b\n\nb\n/exit\nnever read\n", "sound", model, "--max-new-tokens", "2", env=env)
    assert done.returncode == 0
    assert done.stdout.split() == [b"c"] * 4
    assert b"no chat template" in done.stderr


def test_a_crash_is_one_line_and_the_next_answer_loads_the_model_again(toy):
    model, env = toy
    env["TUIBENCH_TEST_FAULT"] = "decode:segfault"
    done = piped("a\na\n", "faulty", model, "--max-new-tokens", "3", env=env)
    assert done.returncode == 1
    assert done.stderr.count(b"died of SIGSEGV") == 2
    assert b"Traceback" not in done.stderr


def test_a_method_that_cannot_run_the_model_is_one_line(toy):
    model, env = toy
    done = piped("a\n", "kv-cache", model, env=env)
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.splitlines()[-1].startswith(b"kv-cache: ")


def test_ctrl_c_ends_an_answer_and_then_nothing_and_ctrl_d_the_program(toy):
    model, env = toy
    env["TUIBENCH_TEST_STEP_S"] = "0.02"
    command = [*COMMAND[1:], "sound", "--model", str(model), "--max-new-tokens", "100000"]
    talk = pexpect.spawn(COMMAND[0], command, env=env, encoding="utf-8", timeout=120)
    talk.expect("> ")
    for _ in range(2):
        talk.sendline("a")
        talk.expect("c c c")
        talk.sendintr()
        talk.expect("ended by you")
        talk.expect("> ")
    talk.sendintr()
    talk.expect("Ctrl\\+D or /exit leaves")
    talk.expect("> ")
    talk.sendline("/what")
    talk.expect("unknown command /what")
    talk.expect("> ")
    talk.sendeof()
    talk.expect(pexpect.EOF)
    talk.close()
    assert talk.exitstatus == 0
