import asyncio
import json
import subprocess
import sys

import pytest

from tuibench.cli.doctor import _lines, _terminal
from tuibench.core.machine.effective_cpus import EffectiveCpus
from tuibench.machine import conditions
from tuibench.machine import fingerprint as machine
from tuibench.machine.bandwidth import remember
from tuibench.machine.effective_cpus import effective_cpus
from tuibench.measure import examination


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models" / "one").mkdir(parents=True)
    (tmp_path / "cache" / "models" / "one" / "weights").write_bytes(bytes(10_000))
    remember(effective_cpus().n_threads, 20_000_000_000)


def doctor(*arguments, **environment):
    command = [sys.executable, "-m", "tuibench", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **environment)


def test_the_doctor_tells_machine_bandwidth_advice_and_problems_and_is_content():
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("processor", "threads to use", "20.0 GB/s", "other processes", "colours", "onnxruntime", "models"):
        assert words in done.stdout
    assert "doubtful now" in done.stdout


def test_the_doctors_json_is_only_that():
    found = json.loads(doctor("--format", "json").stdout)
    assert found["machine"]["read_bytes_per_s"] == 20_000_000_000
    assert found["cpus"]["n_threads_advised"] == effective_cpus().n_threads
    assert found["cache_bytes"]["models"] > 0
    assert {"lamp", "what", "remedy"} == set().union(*found["problems"]) or not found["problems"]
    assert found["terminal"]["is_terminal"] is False


def test_on_a_container_with_a_quota_all_shares_are_of_what_it_may_use(monkeypatch):
    for module in (conditions, examination, machine.cpus):
        monkeypatch.setattr(module, "effective_cpus", lambda: EffectiveCpus(64, 64, 32, 2.0))
    monkeypatch.setattr(machine, "n_last_caches", lambda: 8)
    read_for = []

    async def read_bandwidth(n_threads, *, again):
        read_for.append((n_threads, again))
        return 10**10

    monkeypatch.setattr(examination, "read_bandwidth", read_bandwidth)
    found = asyncio.run(examination.examine())
    told = " ".join("\n".join(_lines(found, _terminal())).split())
    assert "usable CPUs 2 of 64, by the quota, anywhere on 64 CPUs, on 32 physical cores (SMT)" in told
    assert "% of the 2 usable CPUs stolen" in told
    assert "of the last level 8" in told
    assert read_for == [(2, False)]


def test_an_escape_sequence_in_the_environment_reaches_no_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm\x1b[2J")
    assert "\x1b" not in doctor().stdout


def test_settings_that_are_left_out_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("TUIBENCH_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text("\ufeffmouse = false")
    assert "\nsettings\n" not in doctor().stdout
    (tmp_path / "config.toml").write_text("mouse = ")
    assert "config.toml: not read: not a valid TOML file" in doctor().stdout
