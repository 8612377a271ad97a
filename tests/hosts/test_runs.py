"""Whole runs on other machines through the command line: sshd on the loopback, a Slurm of one node."""

import re
import signal
from pathlib import Path

import psutil
import pytest

from tests.hosts.places import Place, Program
from tuibench.core.run.events import FailureKind

FASTEST = re.compile("fastest(?: so far)?: kv-cache on ")
"""So far: where the tests themselves disturb the trials badly."""


def test_a_session_of_two_machines_has_rows_of_both_and_says_which_to_take(server, tmp_path, tiny_llama, monkeypatch):
    places = [Place(tmp_path, "big", server.launcher(), price_per_hour=2.0), Place(tmp_path, "small", ["env"])]
    program = Program(tmp_path, tiny_llama, places, monkeypatch)
    out, err = program.done(*program.run_words, "--on", "big,small,local", "--max-new-tokens", "16", "--trials", "1")
    session = program.session()
    assert session.header.settings.methods == ("kv-cache@big", "kv-cache@small", "kv-cache")
    assert {name: host.price_per_hour for name, host in session.hosts.items()} == {"big": 2.0, "small": None}
    measured = [trial for trial in session.trials if not trial.warmup]
    assert sorted(trial.method for trial in measured) == sorted(session.header.settings.methods)
    assert len({trial.token_ids for trial in measured}) == 1
    assert all(trial.lamp is not None for trial in measured)
    assert FASTEST.search(out)
    assert "no price is known of " in out
    assert [line.split()[0] for line in out.splitlines() if line in {"big", "small", "local"}] == [
        "big",
        "small",
        "local",
    ]
    path = err.splitlines()[-1]
    compared, _ = program.done("compare", path, "--yardstick", "kv-cache")
    assert FASTEST.search(compared)
    _, refused = program.done("compare", path, path, "--fail-on-regression", "5", code=2)
    assert "judges sessions of one machine" in refused
    text = Path(path).read_text()
    assert str(tmp_path) not in text
    assert "127.0.0.1" not in text
    assert not any(process for one in places for process in one.processes())


def test_a_check_finds_nothing_wrong(far):
    out, _ = far.done("hosts", "check", "--model", far.run_words[2], "--threads", "1")
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["ok"] * 5


def test_a_run_there_is_measured_there(far):
    far.done(*far.run_words, "--on", "big", "--max-new-tokens", "16", "--trials", "2")
    session = far.session()
    trials = [trial for trial in session.trials if not trial.warmup]
    assert [trial.method for trial in trials] == ["kv-cache@big"] * 2
    assert not any(trial.failed for trial in trials)
    assert session.header.machine == session.hosts["big"].machine
    assert session.hosts["big"].machine.read_bytes_per_s
    assert not psutil.wait_procs(far.places[0].processes(), timeout=10)[1]


@pytest.mark.parametrize("whose", ["ours", "the launcher's"])
def test_a_run_that_is_cut_off_loses_nothing_and_leaves_nothing(far, whose):
    place = far.places[0]
    running = far.start(*far.run_words, "--on", "big", "--max-new-tokens", "200", "--trials", "400")
    far.wait_for_trials(3)
    if whose == "ours":
        running.kill()
    else:
        launchers = psutil.Process(running.pid).children()
        launchers[0].send_signal(signal.SIGKILL)
    running.communicate(timeout=120)
    _, alive = psutil.wait_procs(place.processes(), timeout=10)
    assert not alive
    session = far.session()
    finished = [trial for trial in session.trials if not trial.failed]
    assert len(finished) >= 3
    kinds = {trial.failure_kind for trial in session.trials if trial.failed}
    assert kinds == (set() if whose == "ours" else {FailureKind.DISCONNECTED})


def test_a_run_that_was_cut_off_goes_on(far):
    running = far.start(*far.run_words, "--on", "big", "--max-new-tokens", "100", "--trials", "4")
    far.wait_for_trials(2)
    psutil.Process(running.pid).children()[0].send_signal(signal.SIGKILL)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "the connection to big was lost" in err
    before = far.session()
    far.done("run", "--resume", "last", "--model", far.run_words[2], "--no-quality")
    after = far.session()
    measured = [trial for trial in after.trials if not trial.warmup and not trial.failed]
    assert sorted(trial.index for trial in measured) == list(range(4))
    kept = [trial for trial in before.trials if not trial.failed]
    assert set(kept) <= set(after.trials)


def test_a_sweep_is_measured_on_each_machine_and_a_machine_out_of_reach_is_cells_with_the_reason(
    tmp_path, tiny_llama, monkeypatch
):
    places = [Place(tmp_path, "small", ["env"]), Place(tmp_path, "gone", ["false"])]
    program = Program(tmp_path, tiny_llama, places, monkeypatch)
    swept = ("--prompt-tokens", "8,16", "--max-new-tokens", "4", "--threads", "1", "--trials", "3", "--no-quality")
    model = ("--model", str(tiny_llama.directory), "--methods", "kv-cache")
    out, err = program.done("run", *model, *swept, "--on", "small,gone,local", code=1)
    session = program.session()
    assert session.header.settings.turns()[0].method == "kv-cache@small"
    measured = [trial for trial in session.trials if not trial.warmup]
    cells = {(trial.method, trial.shape.prompt_tokens): trial.token_ids for trial in measured if not trial.failed}
    assert [method for method, _ in cells] == ["kv-cache@small"] * 2 + ["kv-cache"] * 2
    assert cells["kv-cache@small", 16] == cells["kv-cache", 16]
    assert sum(not trial.failed for trial in measured) == 2 * 2 * 3
    failed = [(trial.method, trial.shape.prompt_tokens, trial.failure_kind) for trial in measured if trial.failed]
    assert failed == [("kv-cache@gone", n, FailureKind.DISCONNECTED) for n in (8, 16)]
    assert "small · prompt 8" in out
    assert "gone · prompt 16: " in out
    assert re.search(rf"prompt 8: .*{FASTEST.pattern}", out)
    compared, _ = program.done("compare", err.splitlines()[-1])
    assert "local · prompt 16" in compared


def test_a_sweep_on_another_machine_that_was_cut_off_goes_on(tmp_path, tiny_llama, monkeypatch):
    program = Program(tmp_path, tiny_llama, [Place(tmp_path, "small", ["env"])], monkeypatch)
    swept = ("--prompt-tokens", "8,16", "--max-new-tokens", "60", "--threads", "1", "--trials", "3", "--no-quality")
    model = ("--model", str(tiny_llama.directory), "--methods", "kv-cache")
    running = program.start("run", *model, *swept, "--on", "small")
    program.wait_for_trials(3)
    running.kill()
    running.communicate(timeout=120)
    kept = {trial for trial in program.session().trials if not trial.failed}
    program.done("run", "--resume", "last", *model[:2], "--no-quality")
    trials = program.session().trials
    assert kept <= set(trials)
    measured = [(trial.shape.prompt_tokens, trial.index) for trial in trials if not trial.warmup and not trial.failed]
    assert sorted(measured) == [(n, index) for n in (8, 16) for index in range(3)]
