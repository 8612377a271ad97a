"""The dashboard at the other end of a real SSH connection: an sshd on the loopback, a terminal in tmux."""

import os
import shlex
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.caches import knowing_the_bandwidth
from tests.slow_terminal import SlowTerminal
from tests.ssh_server import SSHD, SshServer
from tests.terminal import CTRL_Q, F5
from tests.tmux import Tmux
from tuibench import paths
from tuibench.store.session import load

ROOT = Path(__file__).parents[1]
F3 = "\x1bOR"
RESTORED = "0 000 1"
"""No alternate screen, no mouse, a cursor."""

pytestmark = pytest.mark.skipif(not Path(SSHD).exists(), reason="needs openssh-server")


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory):
    """A model with random weights that takes seconds for a trial: there is a middle of a trial to be killed in."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny_models import CHAT_TEMPLATE, _save

    config = LlamaConfig(
        vocab_size=384, hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    return _save(tmp_path_factory.mktemp("slow"), LlamaForCausalLM, config, "<|im_end|>", CHAT_TEMPLATE)


@pytest.fixture
def server(tmp_path):
    one = SshServer(tmp_path)
    yield one
    one.close()


@pytest.fixture
def terminal(tmp_path):
    one = Tmux(tmp_path / "tmux", 120, 40)
    yield one
    one.close()


class Dashboard:
    """tuibench on the far side, with folders of its own."""

    def __init__(self, server, terminal, folder, model):
        self.server, self.terminal = server, terminal
        self.sessions = folder / "sessions"
        environment = {
            "TUIBENCH_SESSIONS": self.sessions, "TUIBENCH_CACHE": knowing_the_bandwidth(folder / "cache"),
            "LC_ALL": "C.UTF-8", "TUIBENCH_CONFIG": folder / "config.toml",
        }  # fmt: skip
        assigned = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in environment.items())
        program = shlex.join([sys.executable, "-m", "tuibench", "--model", str(model)])
        self.command = f"cd {shlex.quote(str(ROOT))}; env {assigned} {program}; echo exit code $?"

    def connect(self):
        self.terminal.type(f"clear; {shlex.join(self.server.command(self.command))}")
        self.terminal.press("Enter")
        self.terminal.wait_for("F5 Run")

    def run_until_a_trial_is_under_way(self):
        self.terminal.type("Once upon a time")
        self.terminal.press("F5")
        wait(lambda: self.saved().count("[[trials]]") >= 1, "the warm-up is saved")

    def saved(self):
        return "".join(path.read_text() for path in self.sessions.glob("*.toml"))

    def session(self):
        (path,) = self.sessions.glob("*.toml")
        return load(path)

    def processes(self):
        """Return what runs on the far side: everything that was given this folder."""
        mine = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TUIBENCH_SESSIONS") == str(self.sessions):
                    mine.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return mine

    def program(self):
        return next(process for process in self.processes() if "--model" in process.cmdline())


@pytest.fixture
def dashboard(server, terminal, tmp_path, slow_model):
    one = Dashboard(server, terminal, tmp_path, slow_model)
    yield one
    for process in one.processes():
        process.kill()


def wait(condition, what, timeout_s=240):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain: {what}"
        time.sleep(0.05)


def test_a_lost_connection_keeps_every_finished_trial_and_leaves_no_process(dashboard, terminal):
    dashboard.connect()
    dashboard.run_until_a_trial_is_under_way()
    dashboard.server.cut_connections()
    terminal.wait_for("closed")
    wait(lambda: not dashboard.processes(), "no process is left")
    session = dashboard.session()
    assert session.dropped == ()
    assert session.trials
    assert not any(trial.failed for trial in session.trials)
    assert len(session.trials) < len(session.header.settings.order)  # it was cut off in the middle

    terminal.run("send-keys", "-R")  # nobody on the far side could take back what the near side still shows
    dashboard.connect()
    terminal.press("F3")
    n_shipped = len(list(paths.sample_sessions().glob("*.toml")))
    terminal.wait_for(f"{n_shipped + 1} sessions")
    terminal.wait_for(session.header.model.name)
    terminal.press("C-q")
    terminal.wait_for("exit code 0")
    assert terminal.modes() == RESTORED
    wait(lambda: not dashboard.processes(), "no process is left")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_program_that_is_told_to_end_restores_the_terminal(dashboard, terminal, number):
    dashboard.connect()
    dashboard.run_until_a_trial_is_under_way()
    os.kill(dashboard.program().pid, number)
    terminal.wait_for("exit code 130")
    assert terminal.modes() == RESTORED
    wait(lambda: not dashboard.processes(), "no process is left")
    assert dashboard.session().dropped == ()


def test_a_slow_line_neither_stops_the_run_nor_the_keys(server, terminal, tmp_path, tiny_llama):
    dashboard = Dashboard(server, terminal, tmp_path, tiny_llama.directory)
    slow = SlowTerminal(server.command(dashboard.command), bytes_per_s=8000, buffer_bytes=4096)
    try:
        slow.wait_for("Run")
        slow.send("\x1b[200~Once upon a time\x1b[201~")  # pasted: painted in one piece
        slow.wait_for("time")
        slow.send(F5)
        wait(lambda: dashboard.saved().count("[[trials]]") >= 1, "the warm-up is saved")
        slow.send(F3)
        slow.wait_for("stored measurements")
        wait(lambda: dashboard.saved().count("[[trials]]") >= 3, "the run goes on")
        slow.send(CTRL_Q)
        slow.wait_for("exit code 0")
        assert "[1;1R" not in slow.seen[-400:].decode(errors="replace")  # an answer that the shell would take as typed
        assert not any(trial.failed for trial in dashboard.session().trials)
    finally:
        slow.close()
