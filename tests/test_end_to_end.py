"""The main job as a newcomer does it: the real program, in tmux, on the real model."""

import shlex
import sys

import pytest

from tests.tmux import Tmux
from tuibench.store.session import load

PROMPT = "Why is the sky blue?"
N_TOKENS = 12


@pytest.fixture
def tmux(request, tmp_path):
    terminal = Tmux(tmp_path / "tmux", *request.param)
    yield terminal
    terminal.close()


def tab_to(tmux, *values):
    """Go from field to field as a person does, who sees where the focus is: what is in that field is bold."""
    for value in values:
        tmux.press("Tab")
        tmux.wait_for_bold(value)


@pytest.mark.real_model
@pytest.mark.parametrize("tmux", [(120, 40)], indirect=True, ids=["120x40"])
def test_a_newcomer_compares_two_methods_and_finds_the_session(tmux, tmp_path, real_model):
    cached = compare(tmux, tmp_path / "sessions", real_model.name)
    assert cached.peak_rss_bytes > 500 << 20


@pytest.mark.parametrize("tmux", [(80, 24)], indirect=True, ids=["80x24"])
def test_whose_terminal_is_small_finds_the_same(tmux, tmp_path, tiny_llama):
    compare(tmux, tmp_path / "sessions", tiny_llama.directory)


def compare(tmux, sessions, model):
    """Return the trial of `kv-cache`, once all that both methods did was found where it is to be."""
    command = shlex.join([sys.executable, "-m", "tuibench", "--model", str(model)])
    environment = (
        f"TUIBENCH_SESSIONS={shlex.quote(str(sessions))} TUIBENCH_HISTORY={shlex.quote(str(sessions.parent / 'used'))}"
    )
    tmux.type(f"{environment} {command}; echo exit code $?")
    tmux.press("Enter")
    tmux.wait_for("F5 Run")
    tmux.type(PROMPT)
    tmux.wait_for(PROMPT)
    tmux.press("Escape")
    tmux.wait_for("i Prompt")
    tmux.press("s")
    tmux.wait_for("enter takes them")
    tmux.wait_for_bold("128")
    tmux.type(str(N_TOKENS))
    for _ in ("threads", "users"):
        tmux.press("Tab")
    tab_to(tmux, "3")
    tmux.type("1")
    for _ in ("precision", "budget"):
        tmux.press("Tab")
    tab_to(tmux, "0", "on")  # the temperature, then quality
    tmux.press("Space")
    tmux.wait_for_bold("off")
    tmux.press("Enter")
    tmux.wait_for(f"2 methods · {N_TOKENS} tokens × 1")
    tmux.press("F5")
    tmux.wait_for("2/2 trials")
    screen = tmux.wait_for("u use it")  # the end says who leads, and where to go from there
    assert "baseline" in screen
    assert "kv-cache" in screen
    assert "tok/s" in screen
    tmux.press("C-q")
    tmux.wait_for("exit code 0")

    (path,) = sessions.glob("*.toml")
    session = load(path)
    assert session.header.settings.prompt == PROMPT
    assert session.header.model.architecture == "LlamaForCausalLM"
    measured = sorted((trial for trial in session.trials if not trial.warmup), key=lambda trial: trial.method)
    baseline, cached = measured
    assert (baseline.method, cached.method) == ("baseline", "kv-cache")
    assert baseline.n_gen == cached.n_gen == N_TOKENS
    assert baseline.token_ids == cached.token_ids
    assert baseline.text == cached.text
    assert len(cached.step_ns) == N_TOKENS - 1
    return cached
