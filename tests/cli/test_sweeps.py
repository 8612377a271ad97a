"""`tuibench run` with several shapes: what is refused, and a small sweep with a real worker."""

import sys

import pytest
import torch
from transformers import AutoModelForCausalLM

from tuibench.cli import OK, main
from tuibench.cli.arguments import UsageError
from tuibench.cli.command_line import parsed
from tuibench.cli.run_settings import run_spec
from tuibench.core.run.shape import Shape, Sweep
from tuibench.machine.bandwidth import remember
from tuibench.measure.run.evaluation_text import shipped_text
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.store.session import load


def spec(*arguments):
    return run_spec(parsed(["run", "--model", "m", *arguments]))


def test_lists_make_a_sweep_and_single_numbers_do_not():
    assert spec("--threads", "2", "--max-new-tokens", "9").sweep is None
    found = spec("--threads", "1,2", "--max-new-tokens", "9")
    assert found.sweep == Sweep(max_new_tokens=(9,), n_threads=(1, 2))
    assert (found.n_threads, found.max_new_tokens, found.running_text) == (2, 9, None)


def test_prompts_are_cut_from_the_evaluation_text():
    found = spec("--prompt-tokens", "64-256*2", "--depth", "0,4096", "--threads", "1", "--no-quality")
    assert found.sweep.prompt_tokens == (64, 128, 256)
    assert found.sweep.depth_tokens == (0, 4096)
    assert (found.prompt, found.running_text, found.eval_text) == ("", shipped_text(), None)


def test_a_preset_is_a_shape():
    found = spec("--preset", "rag", "--threads", "2").sweep.shapes()
    assert found == (Shape(prompt_tokens=2048, max_new_tokens=128, n_threads=2),)
    assert spec("--preset", "rag", "--max-new-tokens", "8,16").sweep.max_new_tokens == (8, 16)


def test_users_have_prompts_of_their_own_and_a_preset():
    found = spec("--users", "1,4", "--stagger", "--tpot-limit", "50ms", "--threads", "1")
    assert (found.sweep.n_users, found.sweep.prompt_tokens) == ((1, 4), (64,))
    assert (found.staggered, found.ttft_limit_ns, found.tpot_limit_ns) == (True, None, 50_000_000)
    (server,) = spec("--preset", "server", "--threads", "2").sweep.shapes()
    assert server.n_users == 8
    assert spec("--preset", "server", "--users", "2", "--threads", "2").sweep.n_users == (2,)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--users", "1,4", "--prompt", "hello"], "each gets a prompt of its own"),
        (["--users", "4", "--temperature", "1"], "leave --temperature out"),
        (["--ttft-limit", "50ms"], "are for several users"),
        (["--users", "1", "--stagger"], "are for several users"),
        (["--prompt-tokens", "64", "--prompt", "hello"], "leave --prompt and --prompt-file out"),
        (["--preset", "rag", "--prompt-tokens", "64"], "leave --prompt-tokens out"),
        (
            ["--prompt-tokens", "1-100", "--depth", "0-99", "--methods", "baseline,kv-cache,onnx"],
            "30,000 cells (3 methods × 10,000 shapes) of 3 trials take",
        ),
        (["--prompt-tokens", "1-100", "--depth", "0-99", "--trials", "9"], "trials are too many"),
        (["--on", "big", "--prompt-tokens", "64,128"], "say with how many --threads"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(arguments, why, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", open("/dev/null"))  # noqa: PTH123, SIM115 - nobody to be asked
    (tmp_path / "config.toml").write_text('[hosts.big]\nlauncher = ["env"]\n')
    monkeypatch.setenv("TUIBENCH_CONFIG", str(tmp_path / "config.toml"))
    with pytest.raises(UsageError) as refused:
        spec(*arguments)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--threads", "1-8*1", "1-8*1 never ends"),
        ("--prompt-tokens", "", "a number is missing"),
        ("--depth", "9-1", "9-1 ends before it begins"),
        ("--preset", "farm", "'farm' is not one of chat, rag, code, server"),
        ("--users", "0", "0 is too small: 1 to 4096"),
        ("--users", "", "a number is missing"),
        ("--ttft-limit", "50", "'50' is not a time such as 200ms or 1.5s"),
    ],
)
def test_a_bad_list_ends_with_exit_code_2(option, value, why, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(["run", option, value])
    assert ended.value.code == 2
    assert why in capsys.readouterr().err


def test_a_swept_trial_reads_what_it_says_it_reads(tiny_llama, tmp_path, monkeypatch, capsys):
    """Prompt and depth are the running text, to the token, and the output is what transformers makes of it."""
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    remember(1, 20_000_000_000)
    arguments = ["--methods", "kv-cache", "--prompt-tokens", "16,32", "--depth", "0,40,4096", "--threads", "1"]
    arguments += ["--max-new-tokens", "6", "--trials", "1", "--no-quality", "--output", str(tmp_path / "out")]
    assert main(["run", "--model", str(tiny_llama.directory), *arguments]) != OK  # 4,096 are beyond the window
    (path,) = (tmp_path / "out").glob("*.toml")
    session = load(path)
    token_ids = PromptTokenizer(tiny_llama.directory).encode(shipped_text().text.strip(), raw=True)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama.directory).eval()
    measured = [trial for trial in session.trials if not trial.warmup and not trial.failed]
    assert [(trial.prompt_tokens, trial.depth_tokens) for trial in measured] == [(16, 0), (32, 0), (16, 40), (32, 40)]
    for trial in measured:
        text = token_ids[: trial.depth_tokens + trial.prompt_tokens]
        with torch.inference_mode():
            expected = model.generate(
                torch.tensor([text]), do_sample=False, max_new_tokens=6, min_new_tokens=6, eos_token_id=None
            )
        assert trial.n_prompt == trial.prompt_tokens
        assert list(trial.token_ids) == expected[0, len(text) :].tolist()
    failed = [trial for trial in session.trials if trial.failed]
    assert {(trial.depth_tokens, trial.failure_kind.value) for trial in failed} == {(4096, "bad-input")}
    printed = capsys.readouterr().out
    assert "prompt 16, depth 4096" in printed
    assert "the model's window holds 256" in printed
